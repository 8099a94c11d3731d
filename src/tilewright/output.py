"""What a verb says: fields of `--json`, messages and progress on stderr, exit codes."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .files import replace_file

OK, DIFFERS, USER, INTERNAL, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 70, 130, 141
PATIENCE = 1.0  # seconds of silence before a step says what it is


@dataclass
class Outcome:
    """The fields that a verb found so far, and the file that takes them when it ends, well or not."""

    fields: dict[str, Any] = field(default_factory=dict)
    file: Path | None = None

    def add(self, **fields: Any) -> None:
        """Keep fields under the names of the command line's contract."""
        self.fields |= fields

    def write(self, code: int, error: str | None) -> None:
        """Write the JSON file, whole or not at all. OSError where it cannot be written."""
        if self.file is None:
            return
        import json  # not before: programs that only tell something start without it

        content = {"ok": code == OK, **({"error": error} if error is not None else {}), **self.fields}
        replace_file(self.file, json.dumps(_plain(content), indent=1, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    """The value as JSON knows it: numpy numbers as numbers, no NaN and no infinity (null)."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def say(message: str) -> None:
    """One line on stderr."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Progress: once the body has taken a second, stderr says what it does; a terminal shows it turning."""
    showing: list[Any] = []
    ended = threading.Event()

    def begin() -> None:
        if not sys.stderr.isatty():
            say(f"{what} ...")
            return
        from rich.console import Console

        status = Console(stderr=True).status(what)
        showing.append(status)
        if not ended.is_set():
            status.start()

    timer = threading.Timer(PATIENCE, begin)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        ended.set()
        timer.cancel()
        if timer.is_alive():
            timer.join()
        for status in showing:
            status.stop()
