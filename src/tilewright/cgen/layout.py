"""Layout of printed C: expressions and line breaks."""

from __future__ import annotations

import re

import numpy as np

from ..ir.types import Expr
from ..targets.base import Scalar

INDENT = "    "
WIDTH = 118
_BLOCK = re.compile(r"(?<=^blocks\.)\d+(?=\.)")  # the number of a block of a language model


def expression(value: Scalar, ctype: str = "") -> str:
    """A scalar argument as C."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and ctype == "double":
        return repr(value)
    if isinstance(value, float):
        text = str(np.float32(value))
        return f"{text}f" if any(c in text for c in ".en") else f"{text}.0f"
    if isinstance(value, int):
        return str(value) if value > -(2**31) else f"({value + 1} - 1)"
    terms = [f"{'' if c == 1 else f'{c} * '}{s.name}" for s, c in Expr.of(value).terms]
    constant = Expr.of(value).const
    return (" + ".join(terms) + (f" + {constant}" if constant > 0 else f" - {-constant}" if constant else "")) or "0"


def wide(value: int) -> str:
    """A number that may be an address, as C: large ones in hexadecimal, as memory maps have them."""
    return f"{'-' if value < 0 else ''}0x{abs(value):x}" if 1 << 24 <= abs(value) < 1 << 31 else expression(value)


def wrap(text: str, indent: int) -> str:
    """Break a line at commas so that no line is longer than 118 characters."""
    lines = []
    while len(text) > WIDTH:
        at = text.rfind(", ", 0, WIDTH)
        if at <= indent:
            break
        lines.append(text[: at + 1])
        text = " " * indent + text[at + 2 :]
    return "\n".join([*lines, text])


def comment(names: list[str], depth: int, loop: bool) -> str:
    """Names of nodes, in a loop those of its first round: a block's number is told by that of the round, `i`."""
    found = [_BLOCK.sub(lambda m: f"i+{m[0]}" if int(m[0]) else "i", name) if loop else name for name in names]
    text = ", ".join(dict.fromkeys(found))
    text = text.replace("*/", "* /").replace("/*", "/ *")
    room = WIDTH - len(INDENT) * depth - len("/*  */")
    return f"{INDENT * depth}/* {text if len(text) <= room else text[: room - 3] + '...'} */"
