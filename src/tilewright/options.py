"""Options of a compilation: `--option k=v` of the command line, checked once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path

from .errors import UserError

MOST_BUDGET = 1000.0  # percent
QUANTS = ("none", "int8", "w8", "w4", "w4a8", "mixed")


def _bytes(text: str) -> int:
    value = int(text.replace("_", "").replace(",", ""))
    if value <= 0:
        raise ValueError
    return value


def _percent(text: str) -> float:
    value = float(text.removesuffix("%"))
    if not 0 <= value <= MOST_BUDGET:
        raise ValueError
    return value / 100


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise UserError(f"no such file: {text}")
    return path


def _some(text: str) -> str:
    if not text:
        raise ValueError
    return text


def _one_of(*allowed: str) -> object:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError
        return text

    parse.__doc__ = "|".join(allowed)
    return parse


@dataclass(frozen=True)
class Options:
    """`quant` and `chunk` of None mean the target's default; `ram` and `l1` None mean all that there is."""

    quant: str | None = field(default=None, metadata={"parse": _one_of(*QUANTS), "help": "|".join(QUANTS)})
    npu: str = field(default="on", metadata={"parse": _one_of("on", "off"), "help": "on|off"})
    ram: int | None = field(default=None, metadata={"parse": _bytes, "help": "BYTES of activations and state"})
    l1: int | None = field(default=None, metadata={"parse": _bytes, "help": "BYTES of scratchpad"})
    chunk: int | None = field(default=None, metadata={"parse": _bytes, "help": "TOKENS of a prompt per pass"})
    keep: str | None = field(
        default=None, metadata={"parse": _some, "help": "N costliest layers, or NAME,NAME, in fp32"}
    )
    budget: float | None = field(
        default=None, metadata={"parse": _percent, "help": "PERCENT of loss that 4-bit weights may add, of mixed"}
    )
    calibrate: Path | None = field(default=None, metadata={"parse": _file, "help": "FILE: text, or npz of inputs"})
    language_quant: str = "none"  # of language models, where `quant` is None: the target's
    language_chunk: int = 16  # tokens of a prompt per pass, where `chunk` is None: the target's
    tokenizer: Path | None = None
    name: str | None = None


def parse(pairs: Iterable[str], *, tokenizer: Path | None = None, name: str | None = None) -> Options:
    """Options from `k=v` texts. UserError names the option, what it takes, and what exists."""
    known = {f.name: f for f in fields(Options) if "parse" in f.metadata}
    values: dict[str, object] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or key not in known:
            listing = ", ".join(f"{k}={f.metadata['help']}" for k, f in known.items())
            raise UserError(f"unknown option {pair!r}", hint=f"options are {listing}")
        try:
            values[key] = known[key].metadata["parse"](text)
        except ValueError:
            raise UserError(f"option {key} cannot be {text!r}", rule=f"{key}={known[key].metadata['help']}") from None
    return Options(**values, tokenizer=tokenizer, name=name)  # type: ignore[arg-type]
