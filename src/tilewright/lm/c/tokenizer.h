/* Text to tokens and back. The same code for every model: what differs is a tw_vocabulary. */
#ifndef TW_TOKENIZER_H
#define TW_TOKENIZER_H

#include <stdint.h>

/* Where words begin; merges never cross the boundary of a word. */
enum { TW_SPLIT_NONE, TW_SPLIT_SPACES, TW_SPLIT_EACH_SPACE, TW_SPLIT_GPT2 };
/* Whether a space is put in front of a text. */
enum { TW_PREFIX_NEVER, TW_PREFIX_ALWAYS, TW_PREFIX_UNLESS_SPACE };

#define TW_NO_TOKEN (-1)
#define TW_ENCODE_OVERFLOW (-1)
#define TW_NO_PAIR UINT32_MAX
/* A pair is looked for from slot (pair * TW_PAIR_HASH mod 2^32) >> pair_shift on, up to a slot without one. */
#define TW_PAIR_HASH 2654435761u
/* Words likewise, from slot h * TW_PAIR_HASH >> word_shift on: h = (h ^ byte) * TW_WORD_HASH for each byte, from 0. */
#define TW_WORD_HASH 16777619u

typedef struct {
    const uint8_t *text;           /* the pieces of all tokens, one after the other */
    const uint32_t *offsets;       /* [tokens + 1]: where in text the piece of each token begins */
    const uint32_t *symbols;       /* [symbol_count], sorted: code points in UTF-8, first byte uppermost */
    const uint16_t *symbol_tokens; /* [symbol_count] */
    const uint16_t *byte_tokens;   /* [256]: the token of each byte of any other code point */
    const uint32_t *pairs;         /* [pair_slots]: pairs that merge, the left token uppermost, or TW_NO_PAIR */
    const uint32_t *mergers;       /* [pair_slots]: what they become, below the rank: lower ranks merge first */
    const int32_t *words;          /* [word_slots]: what whole words become, or TW_NO_TOKEN; TW_SPLIT_GPT2 only */
    const uint8_t *classes;        /* run-length code of letters, numbers and spaces; TW_SPLIT_GPT2 only */
    uint32_t tokens, symbol_count, class_bytes, pair_slots, pair_shift, word_slots, word_shift;
    int32_t bos, eos, unk; /* or TW_NO_TOKEN */
    uint8_t split, prefix;
    uint8_t strip; /* the token behind bos loses a leading space */
} tw_vocabulary;

/*
 * Encode `length` bytes of text into tokens[capacity], bos in front if `bos` is not 0 and the vocabulary has one.
 * work[capacity] is scratch. Returns the number of tokens, or TW_ENCODE_OVERFLOW: what is merged so far and the
 * symbols of the word at hand (at most its bytes) have to fit.
 */
int32_t tw_encode(const tw_vocabulary *v, const uint8_t *text, uint32_t length, int bos, uint16_t *tokens,
                  uint32_t *work, uint32_t capacity);

/* The bytes that `token` writes behind `previous` (bos at the beginning); their number goes to *length. */
const uint8_t *tw_decode(const tw_vocabulary *v, int32_t previous, int32_t token, uint32_t *length);

#endif
