#include "tokenizer.h"

#define NO_MERGE 65535u
#define NO_PAIR UINT32_MAX

enum { OTHER, LETTER, NUMBER, SPACE, END };

/* The text with the space that may stand in front of it. */
typedef struct {
    const uint8_t *text;
    uint32_t lead, size; /* lead: 1 if there is such a space; size includes it */
    uint32_t first, end; /* code points around the latest one whose class was looked up, and their class */
    uint8_t kind;
} input;

static uint8_t byte_at(const input *in, uint32_t at)
{
    return at < in->lead ? (uint8_t)' ' : in->text[at - in->lead];
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
static uint32_t group(const input *in, uint32_t at, uint32_t *key)
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

/* Write the symbols of the group at `at` to out[room], their number to *count; returns the bytes read, 0 if no room. */
static uint32_t symbols_at(const tw_vocabulary *v, const input *in, uint32_t at, uint16_t *out, uint32_t room,
                           uint32_t *count)
{
    uint32_t key = 0, size = v->symbol_count ? group(in, at, &key) : 1;
    uint32_t found = find(v->symbols, v->symbol_count, key);
    *count = found < v->symbol_count ? 1 : size;
    if (*count > room)
        return 0;
    for (uint32_t i = 0; i < *count; i++)
        out[i] = found < v->symbol_count ? v->symbol_tokens[found] : v->byte_tokens[byte_at(in, at + i)];
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

/* The class of the character at `at`, its bytes to *size; a byte that is no valid UTF-8 is one character. */
static uint8_t character(const tw_vocabulary *v, input *in, uint32_t at, uint32_t *size)
{
    uint32_t first, point, count;
    *size = 0;
    if (at >= in->size)
        return END;
    *size = 1;
    first = byte_at(in, at);
    if (first < 0x80)
        return class_of(v, in, first);
    count = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
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

/* The end of the contraction ('s 't 're 've 'm 'll 'd) at `at`, or `at`. */
static uint32_t contraction(const input *in, uint32_t at)
{
    uint8_t a = at + 1 < in->size ? byte_at(in, at + 1) : 0, b = at + 2 < in->size ? byte_at(in, at + 2) : 0;
    if (byte_at(in, at) != '\'')
        return at;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return at + 2;
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
    uint32_t size, last = at, end = contraction(in, at);
    uint8_t kind;
    if (end > at)
        return end;
    if (byte_at(in, at) == ' ') {
        kind = character(v, in, at + 1, &size);
        if (kind != SPACE && kind != END)
            end = at + 1;
    }
    kind = character(v, in, end, &size);
    do {
        last = end;
        end += size;
    } while (character(v, in, end, &size) == kind);
    return kind == SPACE && end < in->size && last > at ? last : end;
}

/* ---- merges ---- */

/* Where merged and ranks have the pair; NO_PAIR if it does not merge. */
static uint32_t pair_of(const tw_vocabulary *v, uint16_t left, uint16_t right)
{
    uint32_t low = v->partners[left], end = v->partners[left + 1u], high = end;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (v->rights[middle] < right)
            low = middle + 1;
        else
            high = middle;
    }
    return low < end && v->rights[low] == right ? low : NO_PAIR;
}

static uint16_t rank_of(const tw_vocabulary *v, uint16_t left, uint16_t right)
{
    uint32_t found = pair_of(v, left, right);
    return found == NO_PAIR ? (uint16_t)NO_MERGE : v->ranks[found];
}

/* Merge neighbours in word[count], lowest rank first, leftmost first; returns what is left. ranks[count] is scratch. */
static uint32_t merge(const tw_vocabulary *v, uint16_t *word, uint32_t count, uint16_t *ranks)
{
    for (uint32_t i = 0; i + 1 < count; i++)
        ranks[i] = rank_of(v, word[i], word[i + 1]);
    while (count > 1) {
        uint32_t best = 0;
        uint16_t lowest = ranks[0];
        for (uint32_t i = 1; i + 1 < count; i++)
            if (ranks[i] < lowest) {
                best = i;
                lowest = ranks[i];
            }
        if (lowest == NO_MERGE)
            break;
        word[best] = v->merged[pair_of(v, word[best], word[best + 1])];
        count--;
        for (uint32_t i = best + 1; i < count; i++) {
            word[i] = word[i + 1];
            ranks[i - 1] = ranks[i];
        }
        if (best > 0)
            ranks[best - 1] = rank_of(v, word[best - 1], word[best]);
        if (best + 1 < count)
            ranks[best] = rank_of(v, word[best], word[best + 1]);
    }
    return count;
}

/* ---- the two entries ---- */

/* Whether a word begins with the symbol `next`, which follows the symbol `previous`. */
static int begins_word(const tw_vocabulary *v, uint16_t space, uint16_t previous, uint16_t next)
{
    return next == space && (v->split == TW_SPLIT_EACH_SPACE || (v->split == TW_SPLIT_SPACES && previous != space));
}

int32_t tw_encode(const tw_vocabulary *v, const uint8_t *text, uint32_t length, int bos, uint16_t *tokens,
                  uint16_t *work, uint32_t capacity)
{
    input in = {text, 0, length, 0, 0, OTHER};
    uint16_t space = space_token(v), first[4];
    uint32_t at = 0, end = 0, count = 0, word, added;
    if (bos && v->bos != TW_NO_TOKEN) {
        if (capacity == 0)
            return TW_ENCODE_OVERFLOW;
        tokens[count++] = (uint16_t)v->bos;
    }
    word = count;
    if (length > 0 && v->prefix != TW_PREFIX_NEVER) {
        (void)symbols_at(v, &in, 0, first, 4, &added);
        in.lead = v->prefix == TW_PREFIX_ALWAYS || first[0] != space;
        in.size += in.lead;
    }
    while (at < in.size) {
        uint32_t read = symbols_at(v, &in, at, tokens + count, capacity - count, &added);
        int fresh = at == end;
        if (read == 0)
            return TW_ENCODE_OVERFLOW;
        if (v->split == TW_SPLIT_GPT2 && fresh)
            end = gpt2_end(v, &in, at);
        else
            fresh = count > word && begins_word(v, space, tokens[count - 1], tokens[count]);
        if (fresh) {
            uint32_t kept = word + merge(v, tokens + word, count - word, work);
            for (uint32_t i = 0; i < added; i++)
                tokens[kept + i] = tokens[count + i];
            word = count = kept;
        }
        count += added;
        at += read;
    }
    return (int32_t)(word + merge(v, tokens + word, count - word, work));
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
