"""Runs a compiled folder on the simulated chip: every series of runs is one ELF."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from ...files import replace_file
from ...ir.types import DTYPES, Array
from ...report.timeline import SIMULATED, text
from ...report.timeline import read as read_timeline
from ...sim import SimOptions, SimResult, Simulation
from ..host.build import read_plan
from .build import Built, build
from .memories import rows, used
from .observe import simulated
from .program import Job
from .target import CLOCK_MHZ

_RUN = re.compile(r"^run (\d+) cycles (\d+)$", re.MULTILINE)
_OUTPUT = re.compile(r"^output \d+ checksum ([0-9a-f]{8})", re.MULTILINE)
LIMIT = 20_000_000_000  # cluster cycles that a run may take


class SiracusaRunner:
    """One compiled folder on the simulator; `built` is the ELF of the latest series."""

    def __init__(self, folder: Path, timing: str = "chip") -> None:
        self.folder, self.timing = folder, timing
        self.plan: dict[str, Any] = dict(read_plan(folder))
        self.outputs = self.plan["entries"][-1]["outputs"]
        self.built: Built = build(folder)
        self.cycles: list[int] = []
        self.energy_uj: float | None = None
        self.schedule = read_timeline(folder)[0]
        self.tokens: list[int] = []

    def series(self, inputs: Sequence[Array], repeat: int, expected: Sequence[Array] | None) -> Iterator[list[Array]]:
        """Runs in a row, in one ELF that compares with `expected` itself; its memory is read at the end.

        A repetition whose checksums differ from the last one's is simulated again up to its end.
        """
        self.built = build(self.folder, Job(inputs, expected, repeat))
        last, result = self._simulate(repeat)
        self.cycles = [int(cycles) for _, cycles in _RUN.findall(result.output)]
        self.energy_uj = result.report.get("energy_uj")
        self._keep(result)
        sums = _OUTPUT.findall(result.output)
        per_run = [sums[i : i + len(self.outputs)] for i in range(0, len(sums), len(self.outputs))]
        for number in range(repeat):
            yield last if per_run[number] == per_run[-1] else self._simulate(number + 1)[0]

    def measured(self) -> dict[str, Any]:
        """Cycles of the last and the first run, energy of the last one; of a language model, of the whole program."""
        if not self.cycles:
            return {}
        return {
            "timing": self.timing, "clock_mhz": CLOCK_MHZ, "cycles": self.cycles[-1], "first_cycles": self.cycles[0],
            "energy_uj": self.energy_uj,
        }  # fmt: skip

    def rows(self, fields: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """Cycles of the last run beside the prediction and the first one, its energy, and the memories as linked."""
        if not self.cycles:
            return []
        last, whole = self.cycles[-1], self.plan["language"] is not None
        notes = [f"--timing {self.timing}, {last / CLOCK_MHZ:,.1f} us at {CLOCK_MHZ:.0f} MHz (assumed clock)"]
        predicted = fields.get("cycles_predicted")
        if predicted is not None and not whole:
            notes.append(f"predicted {predicted:,.0f} ({predicted / last - 1:+.1%})")
        if len(self.cycles) > 1:
            notes.append(f"the first run {self.cycles[0]:,}")
        found = [("cycles", f"{last:,} {'for the prompt' if whole else 'per run'}", "; ".join(notes))]
        if self.energy_uj is not None:
            what = "of the whole program, " if whole else ""
            found.append(("energy", f"{self.energy_uj:,.1f} uJ", f"{what}an energy model, not measured"))
        return found + rows(used(self.built.executable))

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """One run from the first state on."""
        return next(self.series(inputs, 1, None))

    def reset(self) -> None:
        """A language model forgets its tokens."""
        self.tokens = []

    def prefill(self, tokens: Sequence[int]) -> Array:
        """Logits after all tokens since the reset, as one prompt."""
        self.tokens += tokens
        return next(self.series([np.asarray(self.tokens, np.int32)], 1, None))[0]

    def decode(self, token: int) -> Array:
        """Logits after one more token."""
        return self.prefill([token])

    def _keep(self, result: SimResult) -> None:
        """What the simulator saw of the latest run, for reports; and the energy of that run."""
        if self.schedule is None:
            return
        found = simulated(self.schedule, result.report, self.cycles[-1], self.timing)
        replace_file(self.folder / "build" / SIMULATED, text(found))
        entry = found["entries"].get(self.plan["entries"][-1]["name"])
        if entry is not None and self.plan["language"] is None:
            self.energy_uj = round(sum(term["uj"] for term in entry["energy"]), 3)

    def _simulate(self, repeat: int) -> tuple[list[Array], SimResult]:
        entries = self.schedule["entries"].values() if self.schedule else ()
        options = SimOptions(timing=self.timing, visits=tuple(entry["function"] for entry in entries))
        with Simulation(self.built.executable, options) as chip:
            chip.write("tw_repeat", repeat.to_bytes(4, "little"))
            result = chip.run(LIMIT)
            if result.error or result.status not in (0, 1):
                raise UserError(f"the program failed on the chip: {result.error or result.output.strip()[-500:]}")
            return [self._read(chip, i, about) for i, about in enumerate(self.outputs)], result

    def _read(self, chip: Simulation, number: int, about: dict[str, Any]) -> Array:
        dtype, shape = np.dtype(DTYPES[about["dtype"]].numpy), tuple(about["max_shape"])
        count = int(np.prod(shape)) * dtype.itemsize
        content = chip.read(f"tw_result{number}", count) if count else b""
        return np.frombuffer(content, dtype).reshape(shape)
