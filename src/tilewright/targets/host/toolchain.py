"""Compiles and links for the machine at hand: clang from ziglang's wheel, so that pip is all a user needs."""

from __future__ import annotations

import importlib.metadata
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from ...errors import UserError
from .objects import cached

# Contraction off and no fast-math: every compiler gives the same bits. Stack sizes feed the stack bound.
CFLAGS = (
    "-std=c99", "-O3", "-march=native", "-ffp-contract=off", "-fPIC", "-ffunction-sections", "-fdata-sections",
    "-fno-asynchronous-unwind-tables", "-fno-stack-protector", "-fno-sanitize=undefined", "-g0",
)  # fmt: skip
ZIG_ONLY = ("-fstack-size-section",)


def compiler() -> list[str]:
    """`TILEWRIGHT_CC` where it is set, else ziglang's clang."""
    chosen = os.environ.get("TILEWRIGHT_CC")
    return shlex.split(chosen) if chosen else [sys.executable, "-m", "ziglang", "cc"]


@cache
def version() -> str:
    """Which compiler it is, for telling objects of different ones apart."""
    if is_zig():
        return importlib.metadata.version("ziglang")
    done = subprocess.run([*compiler(), "--version"], capture_output=True, text=True, check=False)
    return done.stdout


def is_zig() -> bool:
    return not os.environ.get("TILEWRIGHT_CC")


def compile_objects(sources: Sequence[Path], includes: Sequence[Path], build: Path) -> list[Path]:
    """One object per source, several at a time. UserError with the compiler's words where one fails."""
    build.mkdir(parents=True, exist_ok=True)
    flags = [*CFLAGS, *(ZIG_ONLY if is_zig() else ())]
    searched = [f"-I{folder}" for folder in includes]

    def one(source: Path) -> Path:
        folder = source.parent.name if source.parent in includes[1:] else ""
        target = build / f"{folder}{'.' if folder else ''}{source.stem}.o"
        command = [*compiler(), *flags]
        cached(
            source, includes, [*command, version()], target,
            lambda: run([*command, *searched, "-c", str(source), "-o", str(target)]),
        )  # fmt: skip
        return target

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(one, sources))


def link(objects: Sequence[Path], target: Path, *, shared: bool) -> Path:
    """An executable or a shared library."""
    kind = ["-shared"] if shared else []
    run([*compiler(), *kind, "-O3", "-march=native", "-Wl,--gc-sections", *map(str, objects), "-o", str(target)])
    return target


def run(command: Sequence[str]) -> None:
    """Run a tool; UserError with what it printed when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise UserError(f"the C compiler failed:\n{said}", where=Path(command[-1]).name, hint="report this as a defect")
