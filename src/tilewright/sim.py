"""The chip simulator from Python: run an ELF on the model of Siracusa, look into its memory.

The simulator is a program of its own (`sim/`, built with the package): whatever an ELF does only hurts that process.
`simulate()` runs a file from start to end; `Simulation` loads, pokes, runs and peeks through a line protocol.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from .errors import UserError

PROGRAM = "siracusa-sim"
TIMINGS = ("chip", "gvsoc")
FAULT = 3  # exit status after a fault, a deadlock or the cycle limit


def find() -> Path:
    """The simulator's program: `TILEWRIGHT_SIM`, else the one built with the package."""
    chosen = os.environ.get("TILEWRIGHT_SIM")
    program = (
        Path(chosen) if chosen else Path(__file__).parent / "_sim" / (PROGRAM + (".exe" if os.name == "nt" else ""))
    )
    if not program.is_file():
        raise UserError(
            f"the chip simulator is missing: {program}",
            hint="install the package (pip install .), or name the program in TILEWRIGHT_SIM",
        )
    return program


@dataclass(frozen=True)
class SimOptions:
    """How to simulate. timing: `chip` (RTL-checked figures) or `gvsoc` (the calibrated reference with its artefacts).

    max_cycles: cluster cycles, None for no limit. strict: a job outside N-EUREKA's legal ones is a fault.
    energy: constants of the energy model to override, name to pJ.
    visits: functions; the report tells the latest visit of each: its calls, transfers and energy.
    """

    timing: str = "chip"
    max_cycles: int | None = None
    strict: bool = False
    xpulpnn: bool = False
    energy: dict[str, float] = field(default_factory=dict)
    visits: tuple[str, ...] = ()

    def arguments(self) -> list[str]:
        """The options as the program takes them."""
        words = ["--timing", self.timing]
        if self.max_cycles is not None:
            words += ["--max-cycles", str(self.max_cycles)]
        words += ["--strict"] * self.strict + ["--xpulpnn"] * self.xpulpnn
        for name, picojoule in self.energy.items():
            words += ["--energy", f"{name}={picojoule}"]
        if self.visits:
            words += ["--visits", ",".join(self.visits)]
        return words


@dataclass(frozen=True)
class SimResult:
    """What a run gave: exit status (3 after fault, deadlock or cycle limit), the program's output, the report.

    The report's fields: ending, cycles (cluster), instructions, energy_uj (a model), cores ...; `error` after a fault.
    """

    status: int
    output: str
    report: dict[str, Any]
    messages: str = ""

    @property
    def cycles(self) -> int:
        return int(self.report["cycles"])

    @property
    def ok(self) -> bool:
        return self.status == 0

    @property
    def error(self) -> str | None:
        """Why the run stopped, where it was not the program that ended it."""
        problem = self.report.get("error")
        return None if problem is None else str(problem)


def simulate(
    elf: str | Path, options: SimOptions | None = None, *, extra: Sequence[str] = (), timeout: float | None = None
) -> SimResult:
    """Run an ELF from start to end. UserError where the file cannot be loaded; other endings are in the result.

    extra: further words for the program (`--trace FILE` ...). timeout: wall-clock seconds, UserError when they pass.
    """
    with tempfile.TemporaryDirectory(prefix="tilewright-sim-") as folder:
        report = Path(folder) / "report.json"
        command = [
            str(find()),
            *(options or SimOptions()).arguments(),
            "--quiet",
            "--json",
            str(report),
            *extra,
            str(elf),
        ]
        try:
            done = subprocess.run(command, capture_output=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired as error:
            raise UserError(f"{elf}: the simulation took more than {timeout:g} s") from error
        messages = done.stderr.decode("utf-8", "replace")
        if not report.exists():
            raise UserError(
                messages.strip().removeprefix(f"{PROGRAM}: ") or f"{elf}: the simulator died ({done.returncode})"
            )
        return SimResult(done.returncode, done.stdout.decode("latin-1"), json.loads(report.read_text()), messages)


class Simulation:
    """A loaded ELF: read and write memory by symbol or address, run to the end or for some cycles.

    Use as a context manager. Places are addresses, `"symbol"` or `"symbol+0x10"`. UserError for a refused request.
    """

    def __init__(self, elf: str | Path, options: SimOptions | None = None) -> None:
        command = [str(find()), *(options or SimOptions()).arguments(), "--serve"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        try:
            self.entry = int(self._ask(f"load {Path(elf).resolve()}"))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Simulation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the simulator's process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def symbol(self, name: str) -> tuple[int, int]:
        """Address and size in bytes of a symbol."""
        address, size = self._ask(f"symbol {name}").split()
        return int(address), int(size)

    def read(self, place: int | str, count: int) -> bytes:
        """`count` bytes of memory."""
        return bytes.fromhex(self._ask(f"peek {place} {count}"))

    def write(self, place: int | str, data: bytes) -> None:
        """Put bytes into memory."""
        if data:
            self._ask(f"poke {place} {data.hex()}")

    def run(self, cycles: int | None = None) -> SimResult:
        """Run to the end, or for so many cluster cycles (ending `cycle limit`, after which it can go on)."""
        reply = json.loads(self._ask("run" if cycles is None else f"run {cycles}"))
        messages = "".join(f"{warning}\n" for warning in reply["warnings"])
        return SimResult(reply["status"], reply["output"], reply["report"], messages)

    def _ask(self, line: str) -> str:
        stdin, stdout = _pipe(self._process.stdin), _pipe(self._process.stdout)
        if "\n" in line:
            raise UserError(f"the simulator takes no line breaks: {line!r}")
        try:
            stdin.write(line.encode() + b"\n")
            answer = _line(stdout)
        except (BrokenPipeError, ValueError) as error:
            raise UserError("the simulator has ended") from error
        kind, _, rest = answer.partition(" ")
        if kind != "ok":
            raise UserError(rest or "the simulator has ended")
        return rest


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _line(stream: IO[bytes]) -> str:
    parts = bytearray()
    while not parts.endswith(b"\n"):
        chunk = stream.read(1 << 16)
        if not chunk:
            break
        parts += chunk
    return parts.decode("utf-8", "replace").strip()
