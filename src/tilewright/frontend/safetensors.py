"""The safetensors format, read with every bound checked before a byte is allocated; nothing in it can run."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from .checkpoint import Weights
from .files import file_size, open_file, parse_object, shown

MAX_HEADER = 8 << 20
_SIZES = {"F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True)
class Entry:
    """One tensor of a file: `size` bytes at `offset` from the file's beginning. dtype: F32, F16 or BF16."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int

    def read(self) -> Weights:
        """The tensor as fp32."""
        with open_file(self.path) as file:
            file.seek(self.offset)
            raw = np.fromfile(file, "<f4" if self.dtype == "F32" else "<u2", math.prod(self.shape))
        if raw.nbytes != self.size:
            raise UserError(f"the file ends inside {self.name}", where=str(self.path), rule="the file does not change")
        if self.dtype == "F16":
            raw = raw.view("<f2")
        elif self.dtype == "BF16":
            raw = (raw.astype(np.uint32) << 16).view(np.float32)
        return raw.astype(np.float32, copy=False).reshape(self.shape)


def read_safetensors(path: Path) -> dict[str, Entry]:
    """The tensors of a file by name. Raises UserError for a header that breaks the format or reaches over the file.

    The format: uint64 length of the header, a JSON object of name -> {dtype, shape, data_offsets}, then the data, which
    the tensors cover without holes and overlaps.
    """
    size = file_size(path)
    with open_file(path) as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        if not 2 <= length <= min(MAX_HEADER, size - 8):
            rule = (
                f"a safetensors file begins with the length of its header, at most {MAX_HEADER:,} and inside the file"
            )
            raise UserError("the header is cut off or oversized", where=str(path), rule=rule)
        header = parse_object(file.read(length), path, "a safetensors header")
    header.pop("__metadata__", None)
    start = 8 + length
    entries = {name: _entry(path, name, fields, start) for name, fields in header.items()}
    end = start
    for entry in sorted(entries.values(), key=lambda entry: (entry.offset, entry.size)):
        if entry.offset != end:
            raise UserError(
                f"tensor {shown(entry.name)} leaves a hole or overlaps", where=str(path), rule="data is dense"
            )
        end += entry.size
    if end != size:
        rule = "the tensors fill the file"
        raise UserError(f"tensors end at byte {end:,}, the file at {size:,}", where=str(path), rule=rule)
    return entries


def _entry(path: Path, name: str, fields: Any, start: int) -> Entry:
    match fields:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [first, last]}:
            numbers = [*shape, first, last]
        case _:
            numbers = [None]
    if not all(type(number) is int and 0 <= number < 1 << 63 for number in numbers) or len(numbers) > 10:
        rule = "dtype, shape and two data_offsets in whole numbers, at most eight dimensions"
        raise UserError(f"tensor {shown(name)} has a malformed entry", where=str(path), rule=rule)
    if dtype not in _SIZES:
        raise UserError(
            f"tensor {shown(name)} is {shown(dtype)}", where=str(path), rule=f"weights are {', '.join(_SIZES)}"
        )
    wanted = math.prod(shape) * _SIZES[dtype]
    if last - first != wanted:
        problem = f"tensor {shown(name)} claims bytes {first:,} to {last:,}"
        raise UserError(problem, where=str(path), rule=f"its shape takes {wanted:,} bytes")
    return Entry(path, name, dtype, tuple(shape), start + first, wanted)
