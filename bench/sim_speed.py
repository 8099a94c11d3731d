"""How fast the chip simulator is: instructions/s with one busy core, core-cycles/s with eight, start-up.

    python bench/sim_speed.py [--seconds 2]

The program is an endless mix of loads, dot products, additions, stores and branches on L1 data (what a kernel does);
the fabric controller waits for an interrupt. Figures by CPU time of the simulator and by wall clock; the best of three.
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.sim import assembler as asm
from tilewright.sim import find

ENTRY = 0x1C010000
LOAD_POST, STORE_POST, DOT = 0x0042A00B, 0x00F3A22B, 0xB8001057  # p.lw .., 4(t0!); p.sw a5, 4(t2!); pv.sdotsp.b


def workload(path: Path, cores: int) -> None:
    """Every core of the mask runs the mix for ever, on data of its own."""
    program = asm.Program(ENTRY)
    asm.start_cluster(program, "body", cores)
    program.fixups.pop()
    program.code[-4:] = struct.pack("<I", 0x10500073)  # wfi
    program.label("body")
    program.word(0xF1402373)  # csrr t1, mhartid
    program.label("outer")
    for register, base in ((5, 0x10001000), (7, 0x10021000)):
        program.li(register, base)
        program.word(asm.i_type(0x13, 1, 28, 6, 9), asm.r_type(0, 0, register, register, 28))
    program.addi(29, asm.ZERO, 100)
    program.label("inner")
    for _ in range(2):
        program.word(
            LOAD_POST | 10 << 7, LOAD_POST | 11 << 7, asm.r_type(0, 0, 12, 12, 29), DOT | 15 << 7 | 10 << 15 | 11 << 20
        )
        program.word(asm.r_type(0, 4, 13, 13, 15), asm.i_type(0x13, 0, 14, 14, 1))
    program.word(STORE_POST)
    program.addi(29, 29, -1)
    program.branch(asm.BNE, 29, asm.ZERO, "inner")
    program.jump("outer")
    asm.write_elf(path, ENTRY, [(ENTRY, program.assembled())], program.labels)


def measure(elf: Path, cycles: int) -> tuple[dict[str, float], float]:
    """The simulator's report and its wall-clock seconds."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        begin = time.perf_counter()
        subprocess.run(
            [find(), "--max-cycles", str(cycles), "--json", report, elf], check=False, stderr=subprocess.DEVNULL
        )
        return json.loads(report.read_text()), time.perf_counter() - begin


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2, help="about how long each run takes")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        elf = Path(folder) / "mix.elf"
        for cores, name in ((0x01, "one core"), (0xFF, "eight cores")):
            workload(elf, cores)
            cycles = int(seconds * (60e6 if cores == 1 else 8e6))
            best = max((measure(elf, cycles) for _ in range(3)), key=lambda run: -run[0]["host_cpu_seconds"])
            report, wall = best
            busy = bin(cores).count("1")
            for clock, elapsed in (("CPU", report["host_cpu_seconds"]), ("wall", wall)):
                print(
                    f"{name}: {report['instructions'] / elapsed / 1e6:.1f} M instructions/s, "
                    f"{busy * report['cycles'] / elapsed / 1e6:.1f} M core-cycles/s by {clock} time"
                )
        print(f"start-up: {min(measure(elf, 1)[1] for _ in range(10)) * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
