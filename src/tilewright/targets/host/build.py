"""Builds a compiled project for this machine: a shared library for runners, the example program, exact sizes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ...errors import UserError
from .measure import Sizes, measure
from .toolchain import compile_objects, is_zig, link


@dataclass(frozen=True)
class Built:
    """What a build left in DIR/build. `sizes` are None where the compiler records no stack sizes."""

    folder: Path
    library: Path
    executable: Path
    sizes: Sizes | None


def read_plan(folder: Path) -> dict[str, object]:
    """plan.json of a compiled folder."""
    try:
        plan = json.loads((folder / "plan.json").read_text())
    except (OSError, ValueError):
        plan = None
    if not isinstance(plan, dict) or "prefix" not in plan:
        raise UserError(f"{folder} is not a compiled network", hint="make one with `tilewright compile MODEL -o DIR`")
    return plan


def build(folder: Path) -> Built:
    """Compile and link everything; ziglang caches by content, so a second build is quick."""
    plan = read_plan(folder)
    prefix = str(plan["prefix"])
    sources = sorted(p for p in folder.rglob("*.c") if "build" not in p.relative_to(folder).parts)
    includes = [folder, folder / "kernels", folder / "lm"]
    out = folder / "build"
    objects = compile_objects(sources, includes, out)
    library_objects = [o for o in objects if o.name != "main.o"]
    library = link(library_objects, out / f"lib{prefix}.so", shared=True)
    executable = link(objects, out / prefix, shared=False)
    if not is_zig():
        return Built(folder, library, executable, None)
    names = ("run", "reset", "position", "prefill", "decode", "generate", "encode", "piece")
    return Built(folder, library, executable, measure(library_objects, [f"{prefix}_{name}" for name in names]))
