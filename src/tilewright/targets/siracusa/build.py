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
from .program import Job, write_program
from .target import CORE_STACK, CORES, RUNTIME

ZIG = (sys.executable, "-m", "ziglang", "cc", "-target", "riscv32-freestanding-none")
FABRIC = ("-mcpu=generic_rv32+m+c+zicsr",)  # the fabric controller has no FPU
CLUSTER = ("-mcpu=generic_rv32+m+f+c+zicsr",)
CFLAGS = (
    "-std=gnu99", "-mabi=ilp32", "-ffreestanding", "-fno-sanitize=undefined", "-fno-stack-protector", "-O3",
    "-fomit-frame-pointer",
    "-ffp-contract=off", "-ffunction-sections", "-fdata-sections", "-fstack-size-section", "-g0",
    "-fno-asynchronous-unwind-tables", f"-DTW_CORES={CORES}", f"-DTW_CORE_STACK={CORE_STACK}",
)  # fmt: skip
ENTRIES = ("run", "reset", "position", "prefill", "decode", "generate", "encode", "piece")
FRAMES = 1024  # bytes of a core's stack below the network's entry: harness, boot, the compiler's own functions


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
    network = sorted(
        p for p in folder.rglob("*.c") if "build" not in p.relative_to(folder).parts and p.name != "main.c"
    )
    includes = [RUNTIME, RUNTIME / "include", folder, folder / "kernels", folder / "lm"]
    objects = compile_sources(network, includes, out)
    program = write_program(plan, job or Job(), out)
    others = [*compile_sources(program, includes, out), *runtime(includes, out)]
    sizes = measure(objects, [f"{plan['prefix']}_{name}" for name in ENTRIES])
    if sizes.stack > CORE_STACK - FRAMES:
        raise UserError(
            f"{plan['name']} needs {sizes.stack:,} bytes of stack, a core has {CORE_STACK - FRAMES:,}",
            where=str(plan["name"]), hint="report this as a defect: no kernel should need as much",
        )  # fmt: skip
    return Built(folder, link([*objects, *others], *_sections(plan), out / "network.elf"), sizes)


def runtime(includes: Sequence[Path], build: Path) -> list[Path]:
    """Object files of the boot code and what the compiler calls: the fabric controller runs them, and has no FPU."""
    return compile_sources([RUNTIME / "runtime.c", RUNTIME / "start.S"], includes, build, (*FABRIC, "-fno-builtin"))


def link(objects: Sequence[Path], near: str, far: str, elf: Path) -> Path:
    """The program, with the sections `near` in L1 and `far` in L2."""
    text = (RUNTIME / "link.ld").read_text()
    for name, value in (
        ("TW_IN_L1", near), ("TW_IN_L2", far), ("TW_CORE_STACK", str(CORE_STACK)), ("TW_CORES", str(CORES)),
    ):  # fmt: skip
        text = text.replace(name, value)
    script = elf.with_name("link.ld")
    script.write_text(text)
    _tool([
        *ZIG, *FABRIC, "-mabi=ilp32", "-static", "-nostartfiles", "-Wl,--gc-sections", f"-Wl,-T,{script}",
        *map(str, objects), "-o", str(elf),
    ], "linking")  # fmt: skip
    return elf


def _sections(plan: dict[str, Any]) -> tuple[str, str]:
    """Sections in L1 and in L2, by the plan's levels: the network's own .bss is its arena and its state."""
    file = f"*{plan['prefix']}.o"
    sections = {"act": f"{file}(.bss.arena)", "state": f"{file}(.bss .bss.*)"}
    levels = plan["levels"]
    near = " ".join(text for kind, text in sections.items() if levels[kind] == "l1")
    return near, sections["act"] if levels["act"] == "l2" else ""


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
