#include "tokenizer.h"
#include <string.h>

#define NO_MERGE UINT32_MAX
#define WINDOW 256u /* bytes of the text that are at hand */
#define SHORT 64u   /* symbols of a word that are merged where they are quick to reach */

enum { OTHER, LETTER, NUMBER, SPACE, END };

/* The text with the space that may stand in front of it. It may lie in a slow memory: parts are read once or twice. */
typedef struct {
    const uint8_t *text;
    uint32_t lead, size; /* lead: 1 if there is such a space; size includes it */
    uint32_t first, end; /* code points around the latest one whose class was looked up, and their class */
    uint32_t from;       /* where the window begins */
    uint8_t kind, window[WINDOW];
} input;

/* Move the window to `at`. Whoever reads a byte calls this so seldom that it is not to be part of them. */
static __attribute__((noinline)) void look(input *in, uint32_t at)
{
    uint32_t end = in->size - at < WINDOW ? in->size - at : WINDOW, i = 0;
    in->from = at;
    if (at < in->lead)
        in->window[i++] = ' ';
    memcpy(in->window + i, in->text + at + i - in->lead, end - i);
}

static inline uint8_t byte_at(input *in, uint32_t at)
{
    if (at - in->from >= WINDOW)
        look(in, at);
    return in->window[at - in->from];
}

/* ---- symbols ---- */

/* Index of key in keys[count], which is sorted; count if it is not there. */
static uint32_t find(const uint32_t *keys, uint32_t count, uint32_t key)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (keys[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && keys[low] == key ? low : count;
}

/*
 * The number of bytes of the group at `at`: one and up to three continuation bytes. Their value goes to *key. The space
 * in front of the text stands alone.
 */
static uint32_t group(input *in, uint32_t at, uint32_t *key)
{
    uint32_t size = 1;
    *key = (uint32_t)byte_at(in, at) << 24;
    while (at >= in->lead && size < 4 && at + size < in->size && (byte_at(in, at + size) & 0xC0) == 0x80) {
        *key |= (uint32_t)byte_at(in, at + size) << (24 - 8 * size);
        size++;
    }
    return size;
}

static uint16_t space_token(const tw_vocabulary *v)
{
    uint32_t found = find(v->symbols, v->symbol_count, (uint32_t)' ' << 24);
    return found < v->symbol_count ? v->symbol_tokens[found] : v->byte_tokens[' '];
}

/* Write the symbols of the group at `at`, at most four, to out; their number goes to *count. Returns the bytes read. */
static uint32_t symbols_at(const tw_vocabulary *v, input *in, uint32_t at, uint16_t *out, uint32_t *count)
{
    uint32_t key = 0, size = v->symbol_count ? group(in, at, &key) : 1;
    uint32_t found = find(v->symbols, v->symbol_count, key);
    if (found < v->symbol_count) {
        out[0] = v->symbol_tokens[found];
        *count = 1;
        return size;
    }
    for (uint32_t i = 0; i < size; i++)
        out[i] = v->byte_tokens[byte_at(in, at + i)];
    *count = size;
    return size;
}

/* ---- GPT-2's words ---- */

static uint8_t class_of(const tw_vocabulary *v, input *in, uint32_t point)
{
    uint32_t at = 0, end = 0;
    if (point >= in->first && point < in->end)
        return in->kind;
    while (at < v->class_bytes) {
        uint32_t run = 0, shift = 0;
        do {
            run |= (uint32_t)(v->classes[at] & 127) << shift;
            shift += 7;
        } while (v->classes[at++] & 128);
        in->first = end;
        end += run >> 2;
        if (point < end) {
            in->end = end;
            in->kind = run & 3;
            return in->kind;
        }
    }
    in->end = in->first;
    return OTHER;
}

/* The class of the character at `at` that is none of ASCII, its bytes to *size; a byte of no valid UTF-8 is one. */
static uint8_t wide_character(const tw_vocabulary *v, input *in, uint32_t at, uint32_t *size)
{
    uint32_t first = byte_at(in, at), point, count = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    *size = 1;
    if (first < 0xC2 || first > 0xF4 || at + count > in->size)
        return OTHER;
    point = first & (0xFFu >> (count + 1));
    for (uint32_t i = 1; i < count; i++) {
        uint8_t next = byte_at(in, at + i);
        if ((next & 0xC0) != 0x80)
            return OTHER;
        point = point << 6 | (next & 0x3Fu);
    }
    /* Overlong forms are invalid; so are surrogates and points over U+10FFFF, but their class is OTHER anyhow. */
    if ((count == 3 && point < 0x800) || (count == 4 && point < 0x10000))
        return OTHER;
    *size = count;
    return class_of(v, in, point);
}

static inline int is_letter(uint32_t ascii)
{
    return (ascii | 32) - 'a' < 26;
}

static inline uint8_t ascii_class(uint32_t byte)
{
    if (is_letter(byte))
        return LETTER;
    return byte - '0' < 10 ? NUMBER : byte == ' ' || byte - 9 < 5 ? SPACE : OTHER;
}

/* See character(): where that has to look further. */
static __attribute__((noinline)) uint8_t seldom_character(const tw_vocabulary *v, input *in, uint32_t at,
                                                          uint32_t *size)
{
    uint32_t byte;
    *size = 0;
    if (at >= in->size)
        return END;
    *size = 1;
    byte = byte_at(in, at);
    return byte < 0x80 ? ascii_class(byte) : wide_character(v, in, at, size);
}

/* The class of the character at `at`, END behind the text; its bytes to *size. */
static inline uint8_t character(const tw_vocabulary *v, input *in, uint32_t at, uint32_t *size)
{
    uint32_t place = at - in->from;
    if (at >= in->size || place >= WINDOW || in->window[place] >= 0x80)
        return seldom_character(v, in, at, size);
    *size = 1;
    return ascii_class(in->window[place]);
}

/* Where the letters of ASCII from `at` on end, or the window. */
static inline uint32_t past_letters(input *in, uint32_t at)
{
    uint32_t rest = in->size - in->from < WINDOW ? in->size - in->from : WINDOW, begin = at - in->from, to = begin;
    if (begin >= rest)
        return at;
    while (to < rest && is_letter(in->window[to]))
        to++;
    return at + (to - begin);
}

/* The end of the contraction ('s 't 're 've 'm 'll 'd) at `at`, or `at`. */
static uint32_t contraction(input *in, uint32_t at)
{
    uint8_t a, b;
    if (byte_at(in, at) != '\'' || at + 1 >= in->size)
        return at;
    a = byte_at(in, at + 1);
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return at + 2;
    b = at + 2 < in->size ? byte_at(in, at + 2) : 0;
    if (((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l'))
        return at + 3;
    return at;
}

/*
 * The end of the word at `at`: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * A run of white space leaves its last character to the word behind it.
 */
static uint32_t gpt2_end(const tw_vocabulary *v, input *in, uint32_t at)
{
    uint32_t size, last, end;
    uint8_t kind, first;
    if (at + SHORT > in->from + WINDOW)
        look(in, at);
    first = byte_at(in, at);
    end = first == '\'' ? contraction(in, at) : at;
    if (end > at)
        return end;
    if (first == ' ' && at + 1 < in->size && character(v, in, at + 1, &size) != SPACE)
        end = at + 1;
    kind = character(v, in, end, &size);
    do {
        last = end;
        end += size;
        if (kind == LETTER) {
            end = past_letters(in, end);
            if (end == in->size || (byte_at(in, end) < 0x80 && !is_letter(byte_at(in, end))))
                return end;
        }
    } while (character(v, in, end, &size) == kind);
    return kind == SPACE && end < in->size && last > at ? last : end;
}

/* ---- merges ---- */

/* What a pair becomes: its rank in the upper half, the merged token in the lower; NO_MERGE where it does not merge. */
static inline uint32_t merger(const tw_vocabulary *v, uint32_t left, uint32_t right)
{
    uint32_t key = left << 16 | right, slot = key * TW_PAIR_HASH >> v->pair_shift;
    while (v->pairs[slot] != key) {
        if (v->pairs[slot] == TW_NO_PAIR)
            return NO_MERGE;
        slot = slot + 1 == v->pair_slots ? 0 : slot + 1;
    }
    return v->mergers[slot];
}

/* Merge neighbours in word[count], lowest rank first, leftmost first; returns what is left. pairs[count] is scratch. */
static uint32_t merge(const tw_vocabulary *v, uint16_t *word, uint32_t count, uint32_t *pairs)
{
    for (uint32_t i = 0; i + 1 < count; i++)
        pairs[i] = merger(v, word[i], word[i + 1]);
    while (count > 1) {
        uint32_t best = 0, below = pairs[0] & 0xFFFF0000u; /* of lower rank is what is below */
        for (uint32_t i = 1; i + 1 < count; i++)
            if (pairs[i] < below) {
                best = i;
                below = pairs[i] & 0xFFFF0000u;
            }
        if (pairs[best] == NO_MERGE)
            break;
        word[best] = (uint16_t)pairs[best];
        count--;
        for (uint32_t i = best + 1; i < count; i++) {
            word[i] = word[i + 1];
            pairs[i - 1] = pairs[i];
        }
        if (best > 0)
            pairs[best - 1] = merger(v, word[best - 1], word[best]);
        if (best + 1 < count)
            pairs[best] = merger(v, word[best], word[best + 1]);
    }
    return count;
}

/* ---- the two entries ---- */

/* Whether a word begins with the symbol `next`, which follows the symbol `previous`. */
static int begins_word(const tw_vocabulary *v, uint16_t space, uint16_t previous, uint16_t next)
{
    return next == space && (v->split == TW_SPLIT_EACH_SPACE || (v->split == TW_SPLIT_SPACES && previous != space));
}

/* The symbols of a word go to near[SHORT] as long as they fit, behind the tokens before them otherwise. */
typedef struct {
    uint16_t *tokens; /* [room] */
    uint32_t room, symbols;
    uint16_t near[SHORT];
} word;

/* Append a symbol; 0 where there is no room. */
static int append(word *w, uint16_t symbol)
{
    if (w->symbols == w->room)
        return 0;
    if (w->symbols == SHORT)
        for (uint32_t i = 0; i < SHORT; i++)
            w->tokens[i] = w->near[i];
    *(w->symbols < SHORT ? w->near + w->symbols : w->tokens + w->symbols) = symbol;
    w->symbols++;
    return 1;
}

/* Merge the word, append its tokens to those before it, begin another. work: as many as there is room for. */
static void finish(const tw_vocabulary *v, word *w, uint32_t *work)
{
    uint32_t count, pairs[SHORT];
    if (w->symbols > SHORT)
        count = merge(v, w->tokens, w->symbols, work);
    else {
        count = merge(v, w->near, w->symbols, pairs);
        for (uint32_t i = 0; i < count; i++)
            w->tokens[i] = w->near[i];
    }
    w->tokens += count;
    w->room -= count;
    w->symbols = 0;
}

/* Read the word at `at`, no further than `end`; returns where it ends, or `at` where there is no room. */
static uint32_t read_word(const tw_vocabulary *v, input *in, uint32_t at, uint32_t end, uint16_t space, word *w)
{
    uint32_t begin = at, read, added;
    uint16_t next[4], last = 0;
    for (; at < end; at += read, last = next[added - 1]) {
        read = symbols_at(v, in, at, next, &added);
        if (at > begin && begins_word(v, space, last, next[0]))
            break;
        for (uint32_t i = 0; i < added; i++)
            if (!append(w, next[i]))
                return begin;
    }
    return at;
}

/* The same where each byte is a symbol, and the word is all up to `end`. */
static uint32_t read_bytes(const tw_vocabulary *v, input *in, uint32_t at, uint32_t end, word *w)
{
    uint32_t size = end - at;
    uint16_t *to = size <= SHORT ? w->near : w->tokens;
    if (size > w->room)
        return at;
    for (uint32_t i = 0; i < size; i++)
        to[i] = v->byte_tokens[byte_at(in, at + i)];
    w->symbols = size;
    return end;
}

/* The token that a word, with all of it in the window, becomes where that is one token; TW_NO_TOKEN elsewhere. */
static int32_t whole_word(const tw_vocabulary *v, const uint8_t *text, uint32_t size)
{
    uint32_t hash = 0, slot;
    for (uint32_t i = 0; i < size; i++)
        hash = (hash ^ text[i]) * TW_WORD_HASH;
    hash *= TW_PAIR_HASH; /* upper bits of words alike are not */
    for (slot = hash >> v->word_shift; v->words[slot] != TW_NO_TOKEN; slot = slot + 1 == v->word_slots ? 0 : slot + 1) {
        const uint32_t *bounds = v->offsets + v->words[slot];
        const uint8_t *piece = v->text + bounds[0];
        uint32_t i = 0;
        if (bounds[1] - bounds[0] != size)
            continue;
        while (i < size && piece[i] == text[i])
            i++;
        if (i == size)
            return v->words[slot];
    }
    return TW_NO_TOKEN;
}

/* Append the token that the word from `at` to `end` is; 0 where it is not one token, or there is no room for all. */
static int is_token(const tw_vocabulary *v, const input *in, uint32_t at, uint32_t end, word *w)
{
    uint32_t from = at - in->from, size = end - at;
    int there = from < WINDOW && size <= WINDOW - from && size <= w->room;
    int32_t token = there ? whole_word(v, in->window + from, size) : TW_NO_TOKEN;
    if (token == TW_NO_TOKEN)
        return 0;
    *w->tokens++ = (uint16_t)token;
    w->room--;
    return 1;
}

int32_t tw_encode(const tw_vocabulary *vocabulary, const uint8_t *text, uint32_t length, int bos, uint16_t *tokens,
                  uint32_t *work, uint32_t capacity)
{
    const tw_vocabulary near = *vocabulary, *v = &near; /* every word reads it: it is not to lie in a slow memory */
    input in;                                           /* nobody clears the window */
    int bytes = v->symbol_count == 0 && (v->split == TW_SPLIT_GPT2 || v->split == TW_SPLIT_NONE);
    uint16_t space = space_token(v), first[4];
    uint32_t at = 0, added;
    word w;
    in.text = text, in.lead = 0, in.size = length, in.first = in.end = 0, in.kind = OTHER;
    w.tokens = tokens, w.room = capacity, w.symbols = 0;
    if (bos && v->bos != TW_NO_TOKEN) {
        if (capacity == 0)
            return TW_ENCODE_OVERFLOW;
        *w.tokens++ = (uint16_t)v->bos;
        w.room--;
    }
    look(&in, 0);
    if (length > 0 && v->prefix != TW_PREFIX_NEVER) {
        (void)symbols_at(v, &in, 0, first, &added);
        in.lead = v->prefix == TW_PREFIX_ALWAYS || first[0] != space;
        in.size += in.lead;
        look(&in, 0);
    }
    while (at < in.size) {
        uint32_t begin = at, end = v->split == TW_SPLIT_GPT2 ? gpt2_end(v, &in, at) : in.size;
        if (v->word_slots && is_token(v, &in, at, end, &w)) {
            at = end;
            continue;
        }
        at = bytes ? read_bytes(v, &in, at, end, &w) : read_word(v, &in, at, end, space, &w);
        if (at == begin)
            return TW_ENCODE_OVERFLOW;
        finish(v, &w, work);
    }
    return (int32_t)(w.tokens - tokens);
}

const uint8_t *tw_decode(const tw_vocabulary *v, int32_t previous, int32_t token, uint32_t *length)
{
    const uint8_t *piece;
    *length = 0;
    if (token < 0 || (uint32_t)token >= v->tokens)
        return v->text;
    piece = v->text + v->offsets[token];
    *length = v->offsets[token + 1] - v->offsets[token];
    if (v->strip && previous == v->bos && *length > 0 && *piece == ' ') {
        piece++;
        (*length)--;
    }
    return piece;
}
