"""Tokenizers of every supported kind, trained here on a few sentences, and texts that try them."""

from __future__ import annotations

import functools
import json
import struct
from typing import Any

from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CORPUS = [
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park.",
    "One day, she saw a big, red ball. \"It's mine!\" she said. They'll play, we've 12 balls and 345 cats.",
    "  Two spaces  and   three,\n\na new line\n and the café of Zoë — naïve, “quoted” don't I'm you're he'd.",
    "the theatre then there their these the then ham hammer hamster aaaa aaaaaaa abababab 1234 11 1999",
] * 3
SPECIAL = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
MARK = "\u2581"

LIBRARY_KINDS = ["byte partial", "byte full", "byte prefix", "byte whole", "llama", "llama bare", "meta", "meta whole"]


@functools.cache
def library_json(kind: str) -> bytes:
    """A tokenizer.json as the `tokenizers` library writes it."""
    family, _, variant = kind.partition(" ")
    return _byte_level(variant) if family == "byte" else _llama(family, variant)


def _byte_level(variant: str) -> bytes:
    level = pre_tokenizers.ByteLevel(add_prefix_space=variant == "prefix", use_regex=variant != "whole")
    printable = "".join(map(chr, range(32, 127))) + "\n"
    partial = sorted({symbol for word, _ in level.pre_tokenize_str(printable) for symbol in word})
    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL[0]) if variant == "partial" else models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = level, decoders.ByteLevel()
    alphabet = partial if variant == "partial" else pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(CORPUS, _trainer(SPECIAL, initial_alphabet=alphabet))
    return _saved(tokenizer)


def _llama(family: str, variant: str) -> bytes:
    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL[0], byte_fallback=True, fuse_unk=True))
    plain = [decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
    if family == "meta":
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(split=variant != "whole")
        back = [decoders.ByteFallback(), decoders.Metaspace()]
    elif variant == "bare":
        tokenizer.normalizer, back = normalizers.Replace(" ", MARK), plain
    else:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)])
        back = [*plain, decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(back)
    tokenizer.train_from_iterator(CORPUS, _trainer(SPECIAL + BYTES, limit_alphabet=60))
    return _saved(tokenizer)


def _trainer(special: list[str], **options: Any) -> trainers.BpeTrainer:
    return trainers.BpeTrainer(vocab_size=560, special_tokens=special, show_progress=False, **options)


def _saved(tokenizer: Tokenizer) -> bytes:
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    saved = json.loads(tokenizer.to_str())
    saved["added_tokens"] = [token for token in saved["added_tokens"] if token["content"] in SPECIAL]
    return json.dumps(saved).encode()


def tokenizer_bin(texts: list[bytes], scores: list[float]) -> bytes:
    """A llama2.c tokenizer file with byte tokens at 3..258 and `texts` from 259 on."""
    everything = [*(name.encode() for name in [*SPECIAL, *BYTES]), *texts]
    padded = [0.0] * 259 + scores
    records = [struct.pack("<fi", s, len(t)) + t for s, t in zip(padded, everything, strict=True)]
    return struct.pack("<i", max(map(len, everything))) + b"".join(records)


LETTERS = [" ", "a", "b", "c", "é", "“", "🙂", "\n"]


@st.composite
def llama2c_tokens(draw: st.DrawFn) -> tuple[list[bytes], list[float]]:
    """Texts and scores: characters, and strings of few letters, so that many splits and ties arise."""
    longer = st.text(st.sampled_from(LETTERS), min_size=2, max_size=5)
    words = draw(st.lists(longer, max_size=40, unique=True))
    texts = [text.encode() for text in dict.fromkeys(LETTERS + words)]
    scores = draw(st.lists(st.integers(-9, 3).map(float), min_size=len(texts), max_size=len(texts)))
    return texts, scores


PARTS = st.one_of(
    st.sampled_from(" ".join(CORPUS[:4]).split(" ")).map(lambda word: " " + word),
    st.sampled_from(
        ["'s", "'ll", "'re", "' ", " '", "<s>", "</s>", "<unk>", "<0x41>", MARK, "  ", "\n\n", " \n", "\t"]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=6),
    st.text(st.sampled_from("éèüßñ¿¡“”‘’–—…€™²½①Ⅳ中文한日🙂\u00a0\u2003\u0301\u0085\u001c\u200d٣ǅªʰ"), max_size=3),
    st.text(max_size=3),
)
TEXTS = st.lists(PARTS, max_size=12).map("".join)
"""Texts of what stories are made of, and of what they are not."""

BROKEN = [
    b"\xc1\x81", b"\xe0\x81\x81", b"\xf0\x80\x81\x81", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf4\x90\x80\x80",
    b"\xf8\xa0\x80\x80", b"\xff", b"\x80", b"\xf0\x80\xa4\x95", b"\xe2\x80", b"\xf0\x9f\x99",
]  # fmt: skip
"""Overlong letters, surrogates, too large, cut off."""

RAW = st.one_of(
    TEXTS.map(str.encode),
    st.binary(max_size=24),
    st.lists(st.one_of(PARTS.map(str.encode), st.sampled_from(BROKEN), st.binary(max_size=4)), max_size=8).map(
        b"".join
    ),
)
"""Bytes that need not be UTF-8."""

FEW = st.lists(st.one_of(st.sampled_from(LETTERS).map(str.encode), st.sampled_from(BROKEN)), max_size=20).map(b"".join)
"""Texts of the letters that `llama2c_tokens` knows, broken here and there."""
