"""Files that appear complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO


def umask() -> int:
    """The process's mask of permissions: what temporary files, which are private, lack."""
    current = os.umask(0)
    os.umask(current)
    return current


def replace_with(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` fill a file so that readers see the old content or the new, never a part."""
    import tempfile  # not before: programs that only tell something start without it

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        Path(name).chmod(0o666 & ~umask())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def replace_file(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    replace_with(path, lambda file: file.write(text.encode("utf-8")))
