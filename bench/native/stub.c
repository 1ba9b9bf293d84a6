/*
 * The upstream of the benchmark: a single-threaded epoll server that answers from bytes rendered once.
 *
 *   stub PORT
 *
 * POST /chatkit               the event stream of gpt-oss.com
 * POST /v1/chat/completions   OpenAI's chunks with "stream": true in the body, one JSON object without
 *
 * The prompt of a request, whose text reaches the stub through every program under test, says how to
 * answer: "deltas=32 pace=5000 batch=1" asks for 32 text deltas, 5000 microseconds between two of them
 * (0: as fast as they are taken; else the first comes 10 ms after the events before it) and one event per write (0: the whole answer in one write). With several
 * unpaced answers under way each gets one write in turn.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "answer.h"

#define MAX_FD 16384
#define MAX_REQUEST (4 << 20)
#define MAX_ANSWERS 64
/* Microseconds from the events before the first delta to that delta: what comes before it is not on its way. */
#define THINKING 10000

enum kind { CHATKIT, OPENAI_STREAM, OPENAI_WHOLE };

/* Piece i of an answer is bytes[end[i - 1]..end[i]]; one piece is one event in one HTTP chunk. */
struct answer {
    enum kind kind;
    int deltas, pieces, first_delta;
    char *bytes;
    size_t size, room, *end;
};

struct connection {
    int fd, active; /* active: its place in `active`, or -1 */
    char *request;
    size_t got, room;
    const struct answer *answer;
    int piece, batch;
    size_t sent;
    int64_t pace, due;
    bool blocked;
};

static struct answer answers[MAX_ANSWERS];
static int answer_count;
static struct connection *connections[MAX_FD];
static struct connection *active[MAX_FD];
static int active_count, epoll_fd;

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

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

/* ---- answers ---------------------------------------------------------------------------------- */

static void append(struct answer *answer, const char *bytes, size_t size)
{
    if (answer->size + size > answer->room) {
        answer->room = (answer->size + size) * 2;
        answer->bytes = checked(realloc(answer->bytes, answer->room));
    }
    memcpy(answer->bytes + answer->size, bytes, size);
    answer->size += size;
}

static void end_piece(struct answer *answer)
{
    answer->end = checked(realloc(answer->end, (answer->pieces + 1) * sizeof *answer->end));
    answer->end[answer->pieces++] = answer->size;
}

/* One server-sent event as one HTTP chunk. */
static void event(struct answer *answer, const char *format, ...)
{
    char head[32], *data;
    va_list values;
    va_start(values, format);
    int size = vasprintf(&data, format, values);
    va_end(values);
    if (size < 0)
        die("memory");
    append(answer, head, sprintf(head, "%x\r\ndata: ", size + 8));
    append(answer, data, size);
    append(answer, "\n\n\r\n", 4);
    end_piece(answer);
    free(data);
}

static void last_chunk(struct answer *answer)
{
    append(answer, "0\r\n\r\n", 5);
    answer->end[answer->pieces - 1] = answer->size;
}

#define THREAD "\"threadId\":\"thr_98a86270\""
#define MESSAGE "msg_8145df665da495b9d5b5406f42f22366c8b0aa5108b32a24"
#define UPDATED "{\"type\":\"thread.item_updated\"," THREAD ",\"itemId\":"
#define PART "\"contentIndex\":0,\"content\":{\"annotations\":[],\"text\":\"%s\",\"type\":\"output_text\"}"

static void render_chatkit(struct answer *answer, const char *text)
{
    static const char *const thought = "{\"type\":\"thought\",\"summary\":\"\",\"content\":\"The user wants some words.\"}";
    static const char *const recap =
        "{\"type\":\"recap\",\"summary\":\"Thought for a couple of seconds\",\"content\":\"Done\"}";
    event(answer, "{\"type\":\"thread.created\",\"thread\":{\"items\":{\"data\":[],\"hasMore\":false},"
                  "\"id\":\"thr_98a86270\",\"created_at\":\"2025-08-06T12:04:59.666081\"}}");
    event(answer, "{\"type\":\"thread.item_done\"," THREAD ",\"item\":{\"id\":\"msg_1f8aa048\","
                  "\"created_at\":\"2025-08-06T12:04:59.666131\",\"type\":\"user_message\",\"content\":["
                  "{\"type\":\"input_text\",\"text\":\"Say words.\"}],\"attachments\":[],\"quoted_text\":\"\","
                  "\"text\":\"Say words.\"}}");
    event(answer, "{\"type\":\"thread.item_added\"," THREAD ",\"item\":{\"type\":\"cot\",\"id\":\"msg_5f907a30\","
                  "\"created_at\":\"2025-08-06T12:05:05.417667\",\"entries\":[]}}");
    event(answer, UPDATED "\"msg_5f907a30\",\"update\":{\"type\":\"cot.entry_added\",\"entryIndex\":0,"
                          "\"entry\":%s}}", thought);
    event(answer, UPDATED "\"msg_5f907a30\",\"update\":{\"type\":\"cot.entry_added\",\"entryIndex\":1,"
                          "\"entry\":%s}}", recap);
    event(answer, "{\"type\":\"thread.item_done\"," THREAD ",\"item\":{\"type\":\"cot\",\"id\":\"msg_5f907a30\","
                  "\"created_at\":\"2025-08-06T12:05:07.182124\",\"entries\":[%s,%s]}}", thought, recap);
    event(answer, "{\"type\":\"thread.item_added\"," THREAD ",\"item\":{\"id\":\"" MESSAGE "\","
                  "\"created_at\":\"2025-08-06T12:05:07.519581\",\"type\":\"assistant_message\",\"content\":[]}}");
    event(answer, UPDATED "\"" MESSAGE "\",\"update\":{\"type\":\"assistant_message.content_part.added\"," PART "}}", "");
    answer->first_delta = answer->pieces;
    for (int i = 0; i < answer->deltas; i++)
        event(answer, UPDATED "\"" MESSAGE "\",\"update\":{\"type\":\"assistant_message.content_part.text_delta\","
                              "\"contentIndex\":0,\"delta\":\"%s\"}}", word(i));
    event(answer, UPDATED "\"" MESSAGE "\",\"update\":{\"type\":\"assistant_message.content_part.done\"," PART "}}", text);
    event(answer, "{\"type\":\"thread.item_done\"," THREAD ",\"item\":{\"id\":\"" MESSAGE "\","
                  "\"created_at\":\"2025-08-06T12:05:08.377139\",\"type\":\"assistant_message\",\"content\":["
                  "{\"annotations\":[],\"text\":\"%s\",\"type\":\"output_text\"}]}}", text);
    event(answer, "{\"type\":\"thread.updated\",\"thread\":{\"items\":{\"data\":[],\"hasMore\":false},"
                  "\"title\":\"Some words\",\"id\":\"thr_98a86270\",\"created_at\":\"2025-08-06T12:04:59.666081\"}}");
}

#define CHUNK "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1754480000," \
              "\"model\":\"gpt-oss-120b\",\"choices\":[{\"index\":0,\"delta\":%s,\"finish_reason\":%s}]}"

static void render_openai_stream(struct answer *answer)
{
    event(answer, CHUNK, "{\"role\":\"assistant\",\"content\":\"\"}", "null");
    answer->first_delta = answer->pieces;
    for (int i = 0; i < answer->deltas; i++) {
        char delta[64];
        snprintf(delta, sizeof delta, "{\"content\":\"%s\"}", word(i));
        event(answer, CHUNK, delta, "null");
    }
    event(answer, CHUNK, "{}", "\"stop\"");
    event(answer, "[DONE]");
}

static void render_openai_whole(struct answer *answer, const char *text)
{
    char *body, head[128];
    int size = asprintf(&body,
        "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1754480000,\"model\":\"gpt-oss-120b\","
        "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%s\"},\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":%d,\"total_tokens\":%d}}",
        text, answer->deltas, answer->deltas + 20);
    if (size < 0)
        die("memory");
    append(answer, head, sprintf(head, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", size));
    append(answer, body, size);
    end_piece(answer);
    free(body);
}

static const struct answer *find_answer(enum kind kind, int deltas)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
                               "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (int i = 0; i < answer_count; i++)
        if (answers[i].kind == kind && answers[i].deltas == deltas)
            return &answers[i];
    if (answer_count == MAX_ANSWERS) {
        fputs("stub: too many different answers\n", stderr);
        exit(1);
    }
    struct answer *answer = &answers[answer_count++];
    answer->kind = kind;
    answer->deltas = deltas;
    char *text = checked(malloc(text_size(deltas) + 1));
    *write_text(text, deltas) = 0;
    if (kind == OPENAI_WHOLE) {
        render_openai_whole(answer, text);
    } else {
        append(answer, head, sizeof head - 1);
        if (kind == CHATKIT)
            render_chatkit(answer, text);
        else
            render_openai_stream(answer);
        last_chunk(answer);
    }
    free(text);
    return answer;
}

/* ---- connections ------------------------------------------------------------------------------ */

static void deactivate(struct connection *connection)
{
    if (connection->active < 0)
        return;
    struct connection *moved = active[--active_count];
    active[connection->active] = moved;
    moved->active = connection->active;
    connection->active = -1;
}

static void drop(struct connection *connection)
{
    deactivate(connection);
    connections[connection->fd] = NULL;
    close(connection->fd);
    free(connection->request);
    free(connection);
}

static void watch(struct connection *connection, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = connection->fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, connection->fd, &event) < 0)
        die("epoll_ctl");
}

static int asked(const char *body, size_t size, const char *name, int fallback)
{
    const char *found = memmem(body, size, name, strlen(name));
    return found == NULL ? fallback : atoi(found + strlen(name));
}

static void begin_answer(struct connection *connection, const char *body, size_t size)
{
    enum kind kind = CHATKIT;
    if (strncmp(connection->request, "POST /v1/", 9) == 0)
        kind = memmem(body, size, "\"stream\":true", 13) || memmem(body, size, "\"stream\": true", 14) ? OPENAI_STREAM
                                                                                                      : OPENAI_WHOLE;
    int deltas = asked(body, size, "deltas=", 32);
    if (deltas < 1 || deltas > MAX_DELTAS)
        deltas = 32;
    connection->answer = find_answer(kind, deltas);
    connection->pace = asked(body, size, "pace=", 0);
    connection->batch = asked(body, size, "batch=", 0);
    if (connection->batch < 1)
        connection->batch = connection->answer->pieces;
    connection->piece = 0;
    connection->sent = 0;
    connection->due = 0;
    connection->blocked = false;
    connection->active = active_count;
    active[active_count++] = connection;
}

/* One write of an answer; false when the peer is gone. */
static bool advance(struct connection *connection, int64_t now)
{
    const struct answer *answer = connection->answer;
    int next = connection->piece + connection->batch;
    if (next > answer->pieces)
        next = answer->pieces;
    size_t end = answer->end[next - 1];
    ssize_t wrote = write(connection->fd, answer->bytes + connection->sent, end - connection->sent);
    if (wrote < 0 && errno != EAGAIN)
        return false;
    if (wrote > 0)
        connection->sent += wrote;
    if (connection->sent < end) {
        connection->blocked = true;
        watch(connection, EPOLLIN | EPOLLOUT);
        return true;
    }
    connection->piece = next;
    if (next == answer->pieces)
        deactivate(connection);
    else if (connection->pace && next == answer->first_delta)
        connection->due = now + THINKING;
    else if (connection->pace && next > answer->first_delta && next < answer->first_delta + answer->deltas)
        /* Kept to the plan, so that a late wake-up is not added up; but never more than one step behind. */
        connection->due = connection->due && connection->due + 2 * connection->pace > now
                              ? connection->due + connection->pace
                              : now + connection->pace;
    return true;
}

/* Begins an answer if a whole request has come; false when it cannot be read. */
static bool take_request(struct connection *connection)
{
    if (connection->active >= 0)
        return true;
    char *request = connection->request, *head_end = memmem(request, connection->got, "\r\n\r\n", 4);
    if (head_end == NULL)
        return connection->got < 65536;
    *head_end = 0;
    const char *length = strcasestr(request, "\r\ncontent-length:");
    *head_end = '\r';
    size_t head = head_end + 4 - request, size = length ? strtoul(length + 17, NULL, 10) : 0;
    if (size > MAX_REQUEST)
        return false;
    if (strncmp(request, "GET ", 4) == 0) {
        static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        connection->got = 0;
        return write(connection->fd, ok, sizeof ok - 1) == sizeof ok - 1;
    }
    if (length == NULL || strncmp(request, "POST ", 5) != 0)
        return false;
    if (connection->got < head + size)
        return true;
    begin_answer(connection, request + head, size);
    connection->got -= head + size;
    memmove(request, request + head + size, connection->got);
    return true;
}

static bool receive(struct connection *connection)
{
    for (;;) {
        if (connection->got + 16384 > connection->room) {
            connection->room = connection->room ? connection->room * 2 : 32768;
            if (connection->room > 2 * MAX_REQUEST)
                return false;
            connection->request = checked(realloc(connection->request, connection->room));
        }
        size_t free_room = connection->room - connection->got;
        ssize_t got = read(connection->fd, connection->request + connection->got, free_room);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return false;
        if (got < 0)
            return take_request(connection);
        connection->got += got;
        if ((size_t)got < free_room)
            return take_request(connection);
    }
}

static void accept_all(int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= MAX_FD) {
            close(fd);
            continue;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct connection *connection = checked(calloc(1, sizeof *connection));
        connection->fd = fd;
        connection->active = -1;
        connections[fd] = connection;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
            die("epoll_ctl");
    }
}

static void handle(int fd, uint32_t events)
{
    struct connection *connection = connections[fd];
    if (connection == NULL)
        return;
    if (events & EPOLLOUT) {
        connection->blocked = false;
        watch(connection, EPOLLIN);
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !receive(connection))
        drop(connection);
}

/* Writes what is due; returns the microseconds until something will be, or -1. */
static int64_t write_due(void)
{
    int64_t now = now_us(), next = -1;
    for (int i = 0; i < active_count;) {
        struct connection *connection = active[i];
        if (!connection->blocked && connection->due <= now && !advance(connection, now))
            drop(connection);
        if (i >= active_count || active[i] != connection)
            continue; /* gone; another took its place */
        if (!connection->blocked) {
            int64_t wait = connection->due > now ? connection->due - now : 0;
            if (next < 0 || wait < next)
                next = wait;
        }
        i++;
    }
    return next;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: stub PORT\n", stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* ends with the benchmark, however that ends */
    struct rlimit files = {MAX_FD, MAX_FD};
    setrlimit(RLIMIT_NOFILE, &files);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 4096) < 0)
        die("listen");
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[512];
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) < 0)
        die("epoll");
    for (;;) {
        int64_t wait = write_due();
        struct timespec timeout = {.tv_sec = wait / 1000000, .tv_nsec = wait % 1000000 * 1000};
        int ready = epoll_pwait2(epoll_fd, events, 512, wait < 0 ? NULL : &timeout, NULL);
        if (ready < 0 && errno != EINTR)
            die("epoll_pwait2");
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listener)
                accept_all(listener);
            else
                handle(events[i].data.fd, events[i].events);
        }
    }
}
