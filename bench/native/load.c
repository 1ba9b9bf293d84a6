/*
 * The load generator of the benchmark: one thread, epoll, HTTP/1.1 over kept-alive loopback connections.
 *
 *   load --port P --path PATH --body FILE --needle TEXT --deltas N --connections C
 *        (--seconds S | --rounds R) [--spread MICROSECONDS] [--timeout S]
 *
 * With --seconds every connection sends its next request when the last one is answered; answers that
 * end within the time count. With --rounds all connections begin together, `spread` apart in all, R times.
 *
 * The first eight zeros in the body become the number of the request, so that no two are the same.
 * Every answer is checked: each string after the needle (as in `"content":"`) continues the text that the
 * stub sends, and at the end all of it must have come. Prints "open" when every connection has had text,
 * and one JSON object at the end; times in it are microseconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "answer.h"

#define MAX_CONNECTIONS 6000
#define MAX_HEAD 16384
/* More answers than this are not measured one by one. */
#define MAX_SAMPLES 2000000
#define MAX_BROKEN 1000

enum state { IDLE, HEAD, LENGTH, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, DONE };

struct connection {
    int fd;
    enum state state;
    char head[MAX_HEAD];
    size_t head_size, left; /* left: bytes of the body or of the chunk still to come */
    size_t unsent, matched, position; /* position: in the expected text */
    bool in_text, spoke, heard, closes, line_empty;
    int64_t sent_at, last_text;
};

static struct connection *connections;
static int connection_count = 1, rounds, port, deltas = 32;
static double seconds;
static int64_t spread, limit = 60000000;
static const char *path = "/", *needle = "\"content\":\"";
static size_t needle_size, expected_size, request_size;
static char *request, *expected, *number; /* number: eight digits in the request that count up */

static int epoll_fd, under_way, heard_count;
static int64_t now, completed, delta_count, broken, byte_count, longest_gap;
static int64_t *first_text, *whole;
static size_t first_count, whole_count;
static char reason[400];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void *checked(void *memory)
{
    if (memory == NULL)
        die("memory");
    return memory;
}

static int64_t clock_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000LL + time.tv_nsec / 1000;
}

/* ---- one exchange ------------------------------------------------------------------------------- */

static void watch(struct connection *connection, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, connection->fd, &event);
}

static void open_connection(struct connection *connection)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    int on = 1;
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 || connect(connection->fd, (struct sockaddr *)&address, sizeof address) < 0)
        die("connect");
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(connection->fd, F_SETFL, O_NONBLOCK);
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) < 0)
        die("epoll_ctl");
}

static bool send_rest(struct connection *connection)
{
    ssize_t wrote = write(connection->fd, request + request_size - connection->unsent, connection->unsent);
    if (wrote < 0 && errno != EAGAIN)
        return false;
    if (wrote > 0)
        connection->unsent -= wrote;
    watch(connection, connection->unsent ? EPOLLIN | EPOLLOUT : EPOLLIN);
    return true;
}

static void send_request(struct connection *connection)
{
    if (connection->fd < 0)
        open_connection(connection);
    connection->state = HEAD;
    connection->head_size = connection->left = connection->matched = connection->position = 0;
    connection->in_text = connection->spoke = connection->closes = false;
    connection->unsent = request_size;
    if (number) {
        static int sent;
        char digits[16];
        snprintf(digits, sizeof digits, "%08d", ++sent % 100000000);
        memcpy(number, digits, 8);
    }
    connection->sent_at = clock_us();
    connection->last_text = 0;
    ssize_t wrote = write(connection->fd, request, request_size);
    if (wrote > 0)
        connection->unsent -= wrote;
    if (connection->unsent)
        watch(connection, EPOLLIN | EPOLLOUT);
}

static void hang_up(struct connection *connection)
{
    close(connection->fd);
    connection->fd = -1;
}

static void finish(struct connection *connection, const char *wrong)
{
    if (wrong == NULL && connection->position != expected_size)
        wrong = "the answer ended early";
    if (wrong != NULL) {
        if (broken++ == 0)
            snprintf(reason, sizeof reason, "%s: %.200s", wrong, connection->head);
        hang_up(connection);
    } else {
        completed++;
        if (whole_count < MAX_SAMPLES)
            whole[whole_count++] = now - connection->sent_at;
        if (connection->closes)
            hang_up(connection);
    }
    connection->state = IDLE;
    under_way--;
}

/* ---- reading ------------------------------------------------------------------------------------ */

static void text_arrived(struct connection *connection)
{
    delta_count++;
    if (connection->last_text == 0) {
        if (first_count < MAX_SAMPLES)
            first_text[first_count++] = now - connection->sent_at;
        if (!connection->heard && ++heard_count == connection_count) {
            puts("open");
            fflush(stdout);
        }
        connection->heard = true;
    } else if (now - connection->last_text > longest_gap) {
        longest_gap = now - connection->last_text;
    }
    connection->last_text = now;
}

/* Compares the strings after the needle with the expected text; false where they differ. */
static bool scan(struct connection *connection, const char *at, const char *end)
{
    while (at < end) {
        if (connection->in_text) {
            const char *quote = memchr(at, '"', end - at);
            size_t size = (quote ? quote : end) - at;
            if (size > expected_size - connection->position ||
                memcmp(expected + connection->position, at, size) != 0)
                return false;
            connection->position += size;
            connection->spoke |= size > 0;
            at += size;
            if (quote) {
                at++;
                connection->in_text = false;
                if (connection->spoke)
                    text_arrived(connection);
                connection->spoke = false;
            }
        } else if (connection->matched) {
            if (*at != needle[connection->matched]) {
                connection->matched = 0;
                continue;
            }
            at++;
            if (++connection->matched == needle_size) {
                connection->matched = 0;
                connection->in_text = true;
            }
        } else {
            const char *found = memmem(at, end - at, needle, needle_size);
            if (found) {
                at = found + needle_size;
                connection->in_text = true;
                continue;
            }
            size_t tail = (size_t)(end - at) < needle_size ? (size_t)(end - at) : needle_size - 1;
            while (tail && memcmp(end - tail, needle, tail) != 0)
                tail--;
            connection->matched = tail;
            at = end;
        }
    }
    return true;
}

static const char *read_head(struct connection *connection)
{
    connection->head[connection->head_size] = 0;
    if (strncmp(connection->head, "HTTP/1.1 200", 12) != 0)
        return "not a 200";
    connection->closes = strcasestr(connection->head, "\r\nconnection: close") != NULL;
    const char *length = strcasestr(connection->head, "\r\ncontent-length:");
    if (length) {
        connection->left = strtoul(length + 17, NULL, 10);
        connection->state = LENGTH;
    } else if (strcasestr(connection->head, "\r\ntransfer-encoding: chunked")) {
        connection->state = CHUNK_SIZE;
    } else {
        return "neither a length nor chunks";
    }
    return NULL;
}

/* Feeds what was read; NULL, or what is wrong with it. */
static const char *feed(struct connection *connection, const char *at, const char *end)
{
    while (at < end) {
        switch (connection->state) {
        case HEAD: {
            if (connection->head_size == MAX_HEAD - 1)
                return "endless headers";
            connection->head[connection->head_size++] = *at++;
            if (connection->head_size >= 4 &&
                memcmp(connection->head + connection->head_size - 4, "\r\n\r\n", 4) == 0) {
                const char *wrong = read_head(connection);
                if (wrong) {
                    size_t rest = end - at < 200 ? end - at : 200;
                    connection->head[connection->head_size] = 0;
                    memmove(connection->head, at, rest);
                    connection->head[rest] = 0;
                    return wrong;
                }
            }
            break;
        }
        case LENGTH:
        case CHUNK_DATA: {
            size_t size = (size_t)(end - at) < connection->left ? (size_t)(end - at) : connection->left;
            if (!scan(connection, at, at + size))
                return "the text differs";
            at += size;
            connection->left -= size;
            if (connection->left == 0)
                connection->state = connection->state == LENGTH ? DONE : CHUNK_END;
            break;
        }
        case CHUNK_SIZE: {
            char c = *at++;
            if (c == '\n') {
                connection->state = connection->left ? CHUNK_DATA : TRAILER;
                connection->line_empty = true;
            } else if (c != '\r') {
                int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
                if (digit < 0 || connection->left > 1 << 28)
                    return "a bad chunk size";
                connection->left = connection->left * 16 + digit;
            }
            break;
        }
        case CHUNK_END:
            if (*at++ == '\n')
                connection->state = CHUNK_SIZE;
            break;
        case TRAILER: {
            char c = *at++;
            if (c == '\n' && connection->line_empty)
                connection->state = DONE;
            else if (c != '\r')
                connection->line_empty = c == '\n';
            break;
        }
        case IDLE:
        case DONE:
            return "bytes after the answer";
        }
    }
    return NULL;
}

static void receive(struct connection *connection)
{
    static char buffer[262144];
    ssize_t got = read(connection->fd, buffer, sizeof buffer);
    if (got < 0 && errno == EAGAIN)
        return;
    now = clock_us();
    if (got <= 0) {
        if (connection->state == IDLE)
            hang_up(connection);
        else
            finish(connection, "the connection was closed");
        return;
    }
    byte_count += got;
    const char *wrong = feed(connection, buffer, buffer + got);
    if (wrong || connection->state == DONE)
        finish(connection, wrong);
}

/* ---- the run ------------------------------------------------------------------------------------ */

static int ascending(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static void print_times(const char *name, int64_t *times, size_t count)
{
    qsort(times, count, sizeof *times, ascending);
#define AT(share) (count ? (long long)times[(size_t)((count - 1) * (share))] : 0)
    printf("\"%s\":{\"count\":%zu,\"p50\":%lld,\"p90\":%lld,\"p99\":%lld,\"max\":%lld},", name, count, AT(0.5),
           AT(0.9), AT(0.99), AT(1.0));
}

static void poll_once(int64_t until)
{
    struct epoll_event events[512];
    int64_t wait = until - clock_us();
    struct timespec timeout = {.tv_sec = wait > 0 ? wait / 1000000 : 0, .tv_nsec = wait > 0 ? wait % 1000000 * 1000 : 0};
    int ready = epoll_pwait2(epoll_fd, events, 512, &timeout, NULL);
    for (int i = 0; i < ready; i++) {
        struct connection *connection = events[i].data.ptr;
        if (connection->fd >= 0 && events[i].events & EPOLLOUT && !send_rest(connection))
            finish(connection, "the request could not be sent");
        else if (connection->fd >= 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            receive(connection);
    }
}

static void run_for(double duration, int64_t start)
{
    int64_t end = start + (int64_t)(duration * 1e6);
    while (clock_us() < end && broken < MAX_BROKEN) {
        for (int i = 0; i < connection_count; i++)
            if (connections[i].state == IDLE) {
                send_request(&connections[i]);
                under_way++;
            }
        poll_once(end);
    }
}

static void run_round(int64_t stop)
{
    int64_t start = clock_us();
    int begun = 0;
    under_way = 0;
    while ((begun < connection_count || under_way) && broken < MAX_BROKEN) {
        int64_t time = clock_us(), next = stop;
        if (time >= stop)
            break;
        while (begun < connection_count && start + spread * begun / connection_count <= time) {
            send_request(&connections[begun++]);
            under_way++;
        }
        if (begun < connection_count)
            next = start + spread * begun / connection_count;
        poll_once(next < stop ? next : stop);
    }
    for (int i = 0; i < connection_count; i++)
        if (connections[i].state != IDLE)
            finish(&connections[i], "not answered in time");
}

static char *read_file(const char *name, size_t *size)
{
    struct stat status;
    int fd = open(name, O_RDONLY);
    if (fd < 0 || fstat(fd, &status) < 0)
        die(name);
    char *bytes = checked(malloc(status.st_size + 1));
    if (read(fd, bytes, status.st_size) != status.st_size)
        die(name);
    close(fd);
    *size = status.st_size;
    return bytes;
}

static void parse_arguments(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", 1, 0, 'p'},    {"path", 1, 0, 'u'},   {"body", 1, 0, 'b'},   {"needle", 1, 0, 'n'},
        {"deltas", 1, 0, 'd'},  {"seconds", 1, 0, 's'}, {"rounds", 1, 0, 'r'}, {"connections", 1, 0, 'c'},
        {"spread", 1, 0, 'w'},  {"timeout", 1, 0, 't'}, {0, 0, 0, 0}};
    const char *body_file = NULL;
    int letter;
    while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (letter) {
        case 'p': port = atoi(optarg); break;
        case 'u': path = optarg; break;
        case 'b': body_file = optarg; break;
        case 'n': needle = optarg; break;
        case 'd': deltas = atoi(optarg); break;
        case 's': seconds = atof(optarg); break;
        case 'r': rounds = atoi(optarg); break;
        case 'c': connection_count = atoi(optarg); break;
        case 'w': spread = atoll(optarg); break;
        case 't': limit = (int64_t)(atof(optarg) * 1e6); break;
        default: exit(2);
        }
    }
    if (!port || !body_file || (seconds <= 0) == (rounds <= 0) || connection_count < 1 ||
        connection_count > MAX_CONNECTIONS || deltas < 1 || deltas > MAX_DELTAS || seconds > 600) {
        fputs("load: see the head of load.c for its arguments\n", stderr);
        exit(2);
    }
    size_t body_size;
    char *body = read_file(body_file, &body_size), *head;
    int head_size = asprintf(&head,
        "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
        "Authorization: Bearer sk-bench\r\nContent-Length: %zu\r\n\r\n", path, port, body_size);
    if (head_size < 0)
        die("memory");
    request_size = head_size + body_size;
    request = checked(malloc(request_size));
    memcpy(request, head, head_size);
    memcpy(request + head_size, body, body_size);
    number = memmem(request + head_size, body_size, "00000000", 8);
    needle_size = strlen(needle);
    expected_size = text_size(deltas);
    expected = checked(malloc(expected_size + 1));
    write_text(expected, deltas);
}

int main(int argc, char **argv)
{
    parse_arguments(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct rlimit files = {MAX_CONNECTIONS + 100, MAX_CONNECTIONS + 100};
    setrlimit(RLIMIT_NOFILE, &files);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    first_text = checked(malloc(MAX_SAMPLES * sizeof *first_text));
    whole = checked(malloc(MAX_SAMPLES * sizeof *whole));
    connections = checked(calloc(connection_count, sizeof *connections));
    for (int i = 0; i < connection_count; i++)
        open_connection(&connections[i]);
    int64_t start = clock_us();
    if (seconds > 0)
        run_for(seconds, start);
    for (int round = 0; round < rounds && broken == 0; round++)
        run_round(start + limit);
    double took = (clock_us() - start) / 1e6;
    printf("{\"seconds\":%.6f,\"completed\":%lld,\"deltas\":%lld,\"broken\":%lld,\"bytes\":%lld,\"longest_gap\":%lld,",
           took, (long long)completed, (long long)delta_count, (long long)broken, (long long)byte_count,
           (long long)longest_gap);
    print_times("first_text", first_text, first_count);
    print_times("whole", whole, whole_count);
    printf("\"reason\":\"");
    for (char *c = reason; *c; c++)
        if (*c == '"' || *c == '\\' || (unsigned char)*c < 32 || (unsigned char)*c > 126)
            putchar('\'');
        else
            putchar(*c);
    printf("\"}\n");
    return 0;
}
