"""A language model that writes a story on this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..base import Story
from .build import build

STATISTICS = re.compile(r"^tokens (\d+) positions \d+ seconds ([\d.]+)$", re.MULTILINE)


@dataclass
class HostTold:
    """`tokens N positions P seconds S` of the program: S seconds for N - 1 decodes."""

    tokens: int
    seconds: float
    note: str = ""

    def fields(self, prompt_tokens: int, decodes: int) -> dict[str, Any]:
        """Decoded tokens per second of processor time."""
        return {"tokens_per_second": round(decodes / self.seconds, 1)} if decodes and self.seconds > 0 else {}

    def rows(self, fields: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """No more than the speed."""
        return []


class HostStoryteller:
    """The example program of a compiled folder."""

    separator = b""

    def __init__(self, folder: Path, story: Story) -> None:
        self.built = build(folder)
        self.command = [
            str(self.built.executable), "--prompt", story.prompt, "--tokens", str(story.tokens),
            "--temperature", repr(story.temperature), "--top-p", repr(story.top_p), "--seed", str(story.seed),
            *(["--ignore-eos"] if story.ignore_eos else []),
        ]  # fmt: skip

    def told(self, notes: str) -> HostTold:
        """What the program said on stderr."""
        found = STATISTICS.search(notes)
        if found is None:
            raise RuntimeError(f"the generated program said {notes.strip()[:200]!r} instead of its statistics")
        return HostTold(int(found[1]), float(found[2]))
