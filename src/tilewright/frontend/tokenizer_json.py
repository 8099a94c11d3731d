"""Hugging Face tokenizer.json: byte-level BPE with GPT-2's split, and llama's BPE with byte fallback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ..errors import UserError
from ..lm.vocabulary import ABSENT, MAX_TOKENS, Prefix, Split, Vocabulary, words_begin_at_spaces
from .files import parse_object, read_file, shown

MAX_FILE = 8 << 20
MARK = "\u2581"
"""What llama's tokenizers write for a space."""


@dataclass(frozen=True)
class _Rules:
    """What normalizer, pre-tokenizer and decoder say together."""

    byte_level: bool
    split: Split
    prefix: Prefix
    strip: bool


@dataclass(frozen=True)
class _File:
    path: Path

    def refuse(self, problem: str, rule: str, hint: str = "") -> NoReturn:
        raise UserError(problem, where=str(self.path), rule=rule, hint=hint)

    def child(self, parent: Mapping[str, Any], key: str) -> dict[str, Any] | None:
        """A member that is an object or null."""
        value = parent.get(key)
        if value is not None and not isinstance(value, dict):
            self.refuse(f"`{key}` is no object", "tokenizer.json as the `tokenizers` library writes it")
        return value

    def steps(self, value: Mapping[str, Any] | None, members: str) -> list[dict[str, Any]]:
        """The steps of a normalizer, pre-tokenizer, decoder or post-processor: one, or those of a Sequence."""
        if value is None:
            return []
        listed = value.get(members) if value.get("type") == "Sequence" else [value]
        if not isinstance(listed, list) or not all(isinstance(step, dict) for step in listed):
            self.refuse(f"a Sequence without `{members}`", "tokenizer.json as the `tokenizers` library writes it")
        return listed


def read_tokenizer_json(path: Path, *, bos: int | None = None, eos: int | None = None) -> Vocabulary:
    """Read a tokenizer.json. `bos` and `eos` come from the model's config.json and win over what the file suggests.

    Raises UserError with the rule for every kind of tokenizer but the two that are supported.
    """
    file = _File(path)
    top = parse_object(read_file(path, MAX_FILE, "tokenizer.json"), path, "tokenizer.json")
    model = file.child(top, "model") or {}
    rules = _rules(file, top)
    ids, special = _tokens(file, top, model, rules)
    merges, sides = _merges(file, model, ids)
    pieces = [b""] * (max(ids.values(), default=-1) + 1)
    for text, token in ids.items():
        if token not in special:
            pieces[token] = _piece(file, text, rules)
    symbols: dict[bytes, int] = {}
    if not rules.byte_level:
        symbols = {text.encode(): token for text, token in ids.items() if len(text) == 1}
        symbols[b" "] = symbols.get(MARK.encode(), ABSENT)
        if symbols[b" "] == ABSENT:
            file.refuse(f"no token {MARK}", "llama's tokenizers have a token for the space")
    split = rules.split
    if split is Split.NONE and not rules.byte_level:
        split = words_begin_at_spaces([(_spaced(left), _spaced(right)) for left, right in sides])
    unk = model.get("unk_token")
    first = _template(file, top)
    return Vocabulary(
        pieces=tuple(pieces),
        bos=_special(file, bos, first or "<s>", ids, "bos_token_id"),
        eos=_special(file, eos, "</s>" if "</s>" in ids else "<|endoftext|>", ids, "eos_token_id"),
        unk=ids.get(unk, ABSENT) if isinstance(unk, str) else ABSENT,
        split=split,
        prefix=rules.prefix,
        strip=rules.strip,
        symbols=symbols,
        byte_tokens=_byte_tokens(file, model, ids, rules),
        merges=merges,
    )


def _special(file: _File, wanted: int | None, fallback: str, ids: Mapping[str, int], name: str) -> int:
    if wanted is None:
        return ids.get(fallback, ABSENT)
    if wanted not in ids.values():
        file.refuse(f"config.json says {name} {shown(wanted)}", "the token is one of the tokenizer's")
    return wanted


# --- the kind of tokenizer ---


def _rules(file: _File, top: Mapping[str, Any]) -> _Rules:
    normal = file.steps(file.child(top, "normalizer"), "normalizers")
    split = file.steps(file.child(top, "pre_tokenizer"), "pretokenizers")
    back = file.steps(file.child(top, "decoder"), "decoders")
    names = [step.get("type") for step in split]
    if names == ["ByteLevel"] and not normal:
        if [step.get("type") for step in back] != ["ByteLevel"]:
            file.refuse("the decoder is not ByteLevel", "what the ByteLevel pre-tokenizer encodes, the decoder decodes")
        return _Rules(
            byte_level=True,
            split=Split.GPT2 if split[0].get("use_regex", True) else Split.NONE,
            prefix=Prefix.UNLESS_SPACE if split[0].get("add_prefix_space", True) else Prefix.NEVER,
            strip=False,
        )
    if names == ["Metaspace"] and not normal:
        return _metaspace(file, split[0], back)
    if names:
        rule = "either ByteLevel with GPT-2's regular expression, or Metaspace, or the normalizers of llama and neither"
        kind = f"pre-tokenizer {shown(names)} with normalizer {shown([step.get('type') for step in normal])}"
        file.refuse(kind, rule, "train a byte-level BPE, as training/tokenizer.py does")
    return _llama(file, normal, back)


def _metaspace(file: _File, step: Mapping[str, Any], back: list[dict[str, Any]]) -> _Rules:
    scheme = step.get("prepend_scheme", "always" if step.get("add_prefix_space", True) else "never")
    if step.get("replacement") != MARK or scheme not in ("always", "first", "never"):
        file.refuse("an unusual Metaspace pre-tokenizer", f"it replaces spaces by {MARK}")
    strips = [_metaspace_strips(decoder) for decoder in back if decoder.get("type") == "Metaspace"]
    known = all(decoder.get("type") in ("Metaspace", "ByteFallback", "Fuse") for decoder in back)
    if len(strips) != 1 or not known:
        file.refuse("an unusual decoder", "Metaspace is decoded by Metaspace, with ByteFallback and Fuse at most")
    return _Rules(
        byte_level=False,
        split=Split.EACH_SPACE if step.get("split", True) else Split.NONE,
        prefix=Prefix.NEVER if scheme == "never" else Prefix.UNLESS_SPACE,
        strip=strips[0],
    )


def _metaspace_strips(decoder: Mapping[str, Any]) -> bool:
    return bool(
        decoder.get("prepend_scheme", "always" if decoder.get("add_prefix_space", True) else "never") != "never"
    )


def _llama(file: _File, normal: list[dict[str, Any]], back: list[dict[str, Any]]) -> _Rules:
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": MARK}
    prepend = {"type": "Prepend", "prepend": MARK}
    if normal not in ([prepend, replace], [replace]):
        file.refuse(
            "an unusual normalizer", f"without a pre-tokenizer it is Prepend {MARK} and Replace space by {MARK}"
        )
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    plain = [
        {"type": "Replace", "pattern": {"String": MARK}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if back not in (plain, [*plain, strip]):
        file.refuse(
            "an unusual decoder", "llama's is Replace, ByteFallback, Fuse, and Strip of one leading space at most"
        )
    return _Rules(False, Split.NONE, Prefix.ALWAYS if prepend in normal else Prefix.NEVER, strip in back)


def _template(file: _File, top: Mapping[str, Any]) -> str | None:
    """The token that the post-processor puts in front of a text."""
    templates = []
    for step in file.steps(file.child(top, "post_processor"), "processors"):
        if step.get("type") == "TemplateProcessing":
            templates.append(step.get("single"))
        elif step.get("type") != "ByteLevel":
            file.refuse(
                f"post-processor {shown(step.get('type'))}", "TemplateProcessing with one token in front, or none"
            )
    for parts in templates:
        match parts:
            case [{"SpecialToken": {"id": str(first)}}, {"Sequence": {"id": "A"}}]:
                return first
            case [{"Sequence": {"id": "A"}}]:
                return None
        file.refuse("an unusual template", "a text is encoded as itself with at most one token in front")
    return None


# --- tokens and merges ---


def _tokens(
    file: _File, top: Mapping[str, Any], model: Mapping[str, Any], rules: _Rules
) -> tuple[dict[str, int], set[int]]:
    """Text -> token for all tokens, and the special ones, which write nothing."""
    wanted: dict[str, tuple[object, ...]] = {
        "dropout": (None, 0),
        "continuing_subword_prefix": (None, ""),
        "end_of_word_suffix": (None, ""),
    }
    wanted |= {"ignore_merges": (None, False), "byte_fallback": (None, False) if rules.byte_level else (True,)}
    if model.get("type") != "BPE":
        file.refuse(f"the model is {shown(model.get('type'))}", "byte-pair encoding (BPE)")
    for key, allowed in wanted.items():
        if model.get(key) not in allowed:
            file.refuse(
                f"{key} is {shown(model.get(key))}", f"{key} is {' or '.join(repr(value) for value in allowed)}"
            )
    vocab, added = model.get("vocab"), top.get("added_tokens", [])
    if not isinstance(vocab, dict) or not isinstance(added, list):
        file.refuse("`vocab` or `added_tokens` is missing or malformed", "vocab is an object, added_tokens a list")
    ids = dict(vocab)
    special: set[int] = set()
    for entry in added:
        match entry:
            case {"id": int(token), "content": str(text), "special": True} if ids.get(text, token) == token:
                ids[text] = token
                special.add(token)
            case _:
                file.refuse(f"added token {shown(entry)}", "added tokens are special and keep their id")
    if not all(type(token) is int and 0 <= token < MAX_TOKENS for token in ids.values()):
        file.refuse("a token's id is out of range", f"ids are whole numbers from 0 to {MAX_TOKENS - 1:,}")
    if any("\ud800" <= symbol <= "\udfff" for text in ids for symbol in text):
        file.refuse("a token holds half a surrogate pair", "tokens are text")
    if len(set(ids.values())) != len(ids) or not ids or "" in ids:
        file.refuse("no tokens, an empty token, or two with one id", "every token has a text and its own id")
    return ids, special


def _merges(
    file: _File, model: Mapping[str, Any], ids: Mapping[str, int]
) -> tuple[dict[tuple[int, int], tuple[int, int]], list[tuple[str, str]]]:
    listed = model.get("merges")
    if not isinstance(listed, list):
        file.refuse("`merges` is missing", "merges are a list of pairs")
    merges, sides = {}, []
    for rank, entry in enumerate(listed):
        match entry.split(" ") if isinstance(entry, str) else entry:
            case [str(left), str(right)] if left in ids and right in ids and left + right in ids:
                merges[ids[left], ids[right]] = (ids[left + right], rank)
                sides.append((left, right))
            case _:
                file.refuse(f"merge {rank} is {shown(entry)}", "a merge names two tokens that make a third")
    return merges, sides


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's spelling of bytes: printable ones stand for themselves, the others follow from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


_ALPHABET = _byte_alphabet()
_BYTE_NAMES = {f"<0x{byte:02X}>": byte for byte in range(256)}


def _spaced(text: str) -> bytes:
    return text.replace(MARK, " ").encode()


def _piece(file: _File, text: str, rules: _Rules) -> bytes:
    """The bytes that a token writes."""
    if rules.byte_level:
        if not all(symbol in _ALPHABET for symbol in text):
            file.refuse(f"token {shown(text)}", "tokens are spelled in the byte alphabet of ByteLevel")
        return bytes(_ALPHABET[symbol] for symbol in text)
    return bytes([_BYTE_NAMES[text]]) if text in _BYTE_NAMES else _spaced(text)


def _byte_tokens(file: _File, model: Mapping[str, Any], ids: Mapping[str, int], rules: _Rules) -> tuple[int, ...]:
    """The token of each byte: a symbol of the byte alphabet or <unk>; for llama <0x00> to <0xFF>."""
    names = {byte: name for name, byte in (_ALPHABET if rules.byte_level else _BYTE_NAMES).items()}
    unk = model.get("unk_token")
    missing = [byte for byte in range(256) if names[byte] not in ids]
    if missing and not (rules.byte_level and isinstance(unk, str) and unk in ids and not model.get("fuse_unk")):
        rule = "every byte has a token, or ByteLevel has an unk_token of its own for each byte (fuse_unk false)"
        file.refuse(f"no token for byte 0x{missing[0]:02X} ({len(missing)} in all)", rule)
    if 0x20 in missing and rules.prefix is not Prefix.NEVER:
        file.refuse("no token for a space", "a space that is put in front of texts has a token")
    return tuple(ids[names[byte]] if byte not in missing else ids[str(unk)] for byte in range(256))
