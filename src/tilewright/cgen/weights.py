"""Constants as C arrays: decimals that read back to the same bits, integers as they are."""

from __future__ import annotations

import numpy as np

from ..ir.types import Array

WIDTH = 118


def array_literal(data: Array) -> str:
    """The initialiser of a flat array, wrapped to lines of at most 120 characters, with braces."""
    flat = np.asarray(data).reshape(-1)
    items = _floats(flat) if flat.dtype.kind == "f" else [str(int(v)) for v in flat]
    if flat.dtype == np.int32:
        items = ["(-2147483647 - 1)" if item == "-2147483648" else item for item in items]
    elif flat.dtype in (np.int64, np.uint64, np.uint32):
        suffix = {"int64": "LL", "uint64": "ULL", "uint32": "U"}[flat.dtype.name]
        items = ["(-9223372036854775807LL - 1)" if i == str(-(2**63)) else i + suffix for i in items]
    return "{\n" + "\n".join(_lines(items)) + "\n}"


def _floats(flat: Array) -> list[str]:
    """Decimals that read back to the same bits: 9 significant digits for float, 17 for double."""
    digits, suffix = (17, "") if flat.dtype == np.float64 else (9, "f")
    return [
        _special(text) if text in ("nan", "inf", "-inf") else _float(text) + suffix
        for text in (f"{value:.{digits}g}" for value in flat.tolist())
    ]


def _float(text: str) -> str:
    return text if "." in text or "e" in text else f"{text}.0"


def _special(text: str) -> str:
    return {"nan": "TW_NAN", "inf": "TW_INFINITY", "-inf": "-TW_INFINITY"}[text]


def _lines(items: list[str]) -> list[str]:
    lines, line = [], ""
    for item in items:
        if len(line) + len(item) + 2 > WIDTH:
            lines.append(line)
            line = ""
        line += f"{item}," if not line else f" {item},"
    return [text for text in (*lines, line) if text] or ["0"]
