/* The answer both programs know: the stub sends its words one by one, the load generator expects them. */
#ifndef ANSWER_H
#define ANSWER_H

#include <stddef.h>
#include <string.h>

#define MAX_DELTAS 20000

static const char *const WORDS[] = {
    " the",  " quick", " brown", " fox",  " jumps", " over",   " a",    " lazy", " dog",  " and",  " then",
    " runs", " along", " the",   " long", " river", " until",  " it",   " finds", " some", " shade", " under",
    " one",  " old",   " tree",  " where", " birds", " sing", " all",  " day",  " in",   " spring",
};

static inline const char *word(int index) { return WORDS[index % (int)(sizeof WORDS / sizeof *WORDS)]; }

/* Bytes of the first `deltas` words. */
static inline size_t text_size(int deltas)
{
    size_t size = 0;
    for (int i = 0; i < deltas; i++)
        size += strlen(word(i));
    return size;
}

/* Writes the first `deltas` words to `out`, without a terminating zero; returns the end. */
static inline char *write_text(char *out, int deltas)
{
    for (int i = 0; i < deltas; i++) {
        size_t size = strlen(word(i));
        memcpy(out, word(i), size);
        out += size;
    }
    return out;
}

#endif
