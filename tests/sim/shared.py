"""What the simulator's tests have in common: running an ELF, and the shared data where it is present."""

from __future__ import annotations

import csv
import os
import subprocess
from pathlib import Path

import pytest

from tilewright.sim import find

ROOT = Path(__file__).resolve().parents[2]


def run(elf: Path, *options: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run an ELF in the simulator."""
    command = [str(find()), "--quiet", *options, str(elf)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def simulate(elf: Path, *options: str, timeout: float = 60) -> str:
    """What the ELF prints. Its exit code has to be 0."""
    done = run(elf, *options, timeout=timeout)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def shared_file(name: str) -> Path:
    """A file of the chip's shared data; skips the test where it is absent."""
    folder = Path(os.environ.get("TILEWRIGHT_SHARED", ROOT.parent / "shared")) / "siracusa"
    if not (folder / name).exists():
        pytest.skip(f"shared data absent: {folder / name}")
    return folder / name


def encodings() -> list[tuple[str, int, int]]:
    """Mnemonic, match and mask of every XpulpV2 encoding in the shared table."""
    with shared_file("xpulp_encodings.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["ext"] == "XpulpV2"]
    return [(row["mnemonic"], int(row["match"], 16), int(row["mask"], 16)) for row in rows]
