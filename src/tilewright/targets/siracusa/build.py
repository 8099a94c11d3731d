"""Builds a compiled project for the chip: one ELF that runs alone, its inputs and expectations inside."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UserError
from ..host.build import read_plan
from ..host.measure import Sizes, measure
from ..host.objects import cached
from ..host.toolchain import version
from .export import linker_script
from .program import Job, write_program
from .target import CORE_STACK, FIRST_STACK
from .toolchain import BOOT, CFLAGS, CLUSTER, FABRIC, LINK, ZIG

ENTRIES = ("run", "reset", "position", "prefill", "decode", "generate", "encode", "piece")
FIRST_FRAMES = 1024  # bytes of core 0's stack beside the network's: harness, boot, output, the compiler's functions
CORE_FRAMES = 256  # of another core's: the harness, which has less than 128 there
ALONE = ("tw_encode", "tw_decode", "tw_sampler_set", "tw_sampler_fixed")  # core 0


@dataclass(frozen=True)
class Built:
    """What a build left in DIR/build."""

    folder: Path
    executable: Path
    sizes: Sizes


def build(folder: Path, job: Job | None = None) -> Built:
    """Compile and link. Without a job: zeros as inputs, or a language model that writes from an empty prompt."""
    plan = read_plan(folder)
    out = folder / "build"
    out.mkdir(parents=True, exist_ok=True)
    parts = folder / "runtime"
    converters = sorted(folder.glob("*_state.c"))
    network = sorted(p for place in (folder, folder / "kernels", folder / "lm") for p in place.glob("*.c"))
    network = [source for source in network if source not in (folder / "main.c", *converters)]
    includes = [parts, parts / "include", folder, folder / "kernels", folder / "lm"]
    objects = compile_sources(network, includes, out)
    program = write_program(plan, job or Job(), out, parts)
    others = [*compile_sources([*program, *converters], includes, out, FABRIC), *runtime(includes, out)]
    sizes = _sizes(plan, objects)
    return Built(folder, link_with([*objects, *others], parts / "link.ld", out / "network.elf"), sizes)


def _sizes(plan: dict[str, Any], objects: Sequence[Path]) -> Sizes:
    """Sizes of the network. UserError where a stack is too small: core 0's, or that of one that never calls some."""
    entries = [f"{plan['prefix']}_{name}" for name in ENTRIES]
    nodes = [node for entry in plan["entries"] for node in entry["nodes"] if node["kernel"]]
    kernels = {part["kernel"] for node in nodes for part in (node, node.get("shared")) if part}
    sizes = measure(objects, entries, {*ALONE, *kernels} - {*plan["shared"]})
    for core, needed, there in (
        ("core 0", sizes.stack, FIRST_STACK - FIRST_FRAMES),
        ("each other core", sizes.shared, CORE_STACK - CORE_FRAMES),
    ):  # fmt: skip
        if needed > there:
            raise UserError(
                f"{plan['name']} needs {needed:,} bytes of stack on {core}, there are {there:,}",
                where=str(plan["name"]), hint="report this as a defect: no kernel should need as much",
            )  # fmt: skip
    return sizes


def runtime(includes: Sequence[Path], build: Path) -> list[Path]:
    """Object files of the boot code and what the compiler calls, from the first folder: for the fabric controller."""
    return compile_sources([includes[0] / "runtime.c", includes[0] / "start.S"], includes, build, BOOT)


def link(objects: Sequence[Path], near: str, far: str, elf: Path) -> Path:
    """A program without a project, with the sections `near` in L1 and `far` in L2."""
    script = elf.with_name("link.ld")
    script.write_text(linker_script(near, far))
    return link_with(objects, script, elf)


def link_with(objects: Sequence[Path], script: Path, elf: Path) -> Path:
    """The program."""
    _tool([*ZIG, *LINK, "-T", str(script), *map(str, objects), "-o", str(elf)], "linking")
    return elf


def compile_sources(
    sources: Sequence[Path], includes: Sequence[Path], build: Path, cpu: tuple[str, ...] = CLUSTER
) -> list[Path]:
    """Object files in `build`; what was compiled before from the same text is reused."""
    command = [*ZIG[1:], *cpu, *CFLAGS]

    def one(source: Path) -> Path:
        folder = source.parent.name if source.parent in includes[3:] else ""
        target = build / f"{folder}{'.' if folder else ''}{source.stem}.o"
        searched = [f"-I{include}" for include in (*includes, build)]
        full = [sys.executable, *command, *searched, "-c", str(source), "-o", str(target)]
        if source.name == "data.S":  # its content is in other files
            _tool(full, source.name)
        else:
            cached(source, includes, [*command, version()], target, lambda: _tool(full, source.name))
        return target

    with ThreadPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        return list(pool.map(one, sources))


def _tool(command: Sequence[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    said = (done.stderr or done.stdout).strip()
    overflow = [line for line in said.splitlines() if "will not fit in region" in line or "overflowed" in line]
    if overflow:
        raise UserError(
            f"the network does not fit into the chip's memories: {overflow[0].split('error: ')[-1]}",
            rule="code and the caller's data are in l2, transients, state and stacks in l1, constants in wmem",
            hint="use a smaller model, or an int8 one (`--option quant=int8`)",
        )
    raise UserError(f"the C compiler failed:\n{said[-2000:]}", where=what, hint="report this as a defect")
