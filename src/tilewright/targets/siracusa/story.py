"""A language model that writes a story on the simulated chip."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...sim import SimOptions, find
from ..base import Story
from .build import build
from .memories import REGIONS, rows, used
from .program import Job
from .target import CLOCK_MHZ

STATISTICS = re.compile(r"tokens (\d+) positions \d+ prompt_cycles (\d+) decode_cycles (\d+)")


@dataclass
class ChipTold:
    """Cycles from the start to the first piece of text (prompt and first sample), and from there to the last one."""

    tokens: int
    prompt_cycles: int
    decode_cycles: int
    timing: str
    report: dict[str, Any]
    bytes_used: dict[str, int]  # by memory, as linked

    @property
    def note(self) -> str:
        return f" at {CLOCK_MHZ:.0f} MHz (assumed clock), --timing {self.timing}"

    def fields(self, prompt_tokens: int, decodes: int) -> dict[str, Any]:
        """Decodes with sampler and tokenizer; the energy of the whole run is shared out by cycles."""
        found: dict[str, Any] = {
            "timing": self.timing, "clock_mhz": CLOCK_MHZ, "energy_uj": self.report["energy_uj"],
            "bytes_used": self.bytes_used, "bytes_available": {name: size for name, (_, size) in REGIONS.items()},
        }  # fmt: skip
        if self.tokens:
            found["prompt_cycles_per_token"] = round(self.prompt_cycles / max(1, prompt_tokens))
        if decodes:
            cycles = self.decode_cycles / decodes
            found["cycles_per_token"] = round(cycles)
            found["tokens_per_second"] = round(CLOCK_MHZ * 1e6 / cycles, 1)
            found["energy_uj_per_token"] = round(self.report["energy_uj"] * cycles / self.report["cycles"], 3)
        return found

    def rows(self, fields: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """Cycles, energy and memories; what is assumed or a model says so."""
        found = []
        if "cycles_per_token" in fields:
            found = [
                ("cycles", f"{fields['cycles_per_token']:,} per token", "decoding, sampler and tokenizer included"),
                ("energy", f"{fields['energy_uj_per_token']:,.1f} uJ per token", "an energy model, not measured"),
            ]
        return found + rows(self.bytes_used)


class SiracusaStoryteller:
    """One ELF with the story's settings inside, and the simulator that runs it."""

    separator = b"\x1e"

    def __init__(self, folder: Path, story: Story, timing: str) -> None:
        self.timing, self.report = timing, folder / "build" / "simulation.json"
        self.built = build(folder, Job(story=story))
        options = SimOptions(timing=timing).arguments()
        self.command = [str(find()), *options, "--quiet", "--json", str(self.report), str(self.built.executable)]

    def told(self, notes: str) -> ChipTold:
        """What the program said behind its text, and the simulator in its report."""
        found = STATISTICS.search(notes)
        if found is None:
            raise RuntimeError(f"the program said {notes.strip()[:200]!r} instead of its statistics")
        report = json.loads(self.report.read_text())
        return ChipTold(int(found[1]), int(found[2]), int(found[3]), self.timing, report, used(self.built.executable))
