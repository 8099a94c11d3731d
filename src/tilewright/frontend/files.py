"""Reading files that nobody vouches for: bounded sizes, plain JSON, and nothing but UserError when they are bad."""

from __future__ import annotations

import json
import reprlib
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import UserError


def file_size(path: Path) -> int:
    """Bytes of a regular file; pipes and devices are refused, for they could block or never end."""
    try:
        regular, size = path.is_file(), path.stat().st_size
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the file: {_reason(error)}", where=str(path)) from None
    if not regular:
        raise UserError("not a regular file", where=str(path), rule="models are read from files")
    return size


def read_file(path: Path, limit: int, what: str) -> bytes:
    """All bytes of a file of at most `limit` bytes; `what` names the kind of file in messages."""
    size = file_size(path)
    if size > limit:
        raise UserError(f"{size:,} bytes", where=str(path), rule=f"{what} has at most {limit:,} bytes")
    with open_file(path) as file:
        return file.read(limit)


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading."""
    file_size(path)
    try:
        return path.open("rb")
    except OSError as error:
        raise UserError(f"cannot read the file: {_reason(error)}", where=str(path)) from None


def parse_object(data: bytes, path: Path, what: str) -> dict[str, Any]:
    """A JSON object without repeated keys; whatever the parser complains of becomes UserError."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key stands twice in one object")
        return found

    try:
        parsed = json.loads(data.decode("utf-8"), object_pairs_hook=unique)
    except RecursionError:
        raise UserError("the JSON text is nested too deeply", where=str(path), rule=f"{what} is flat JSON") from None
    except ValueError as error:
        raise UserError(f"no valid JSON: {error}", where=str(path), rule=f"{what} is a JSON object in UTF-8") from None
    if not isinstance(parsed, dict):
        raise UserError("the JSON text is no object", where=str(path), rule=f"{what} is a JSON object")
    return parsed


def shown(value: object) -> str:
    """A value from a file in a message: however large it is, it stays short and on one line."""
    return reprlib.repr(value)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
