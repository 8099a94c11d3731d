"""The chip's own files of a compiled project: runtime, linker script, an example program, CMake files, a guide.

The builds of this package use the same runtime and linker script, from the project's folder.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base import Story
from .program import example
from .target import CORE_STACK, FIRST_STACK, RUNTIME, STACKS
from .toolchain import BOOT, CFLAGS, CLUSTER, FABRIC, LINK, TRIPLE

if TYPE_CHECKING:
    from ...compiled import Compiled

PROJECT = Path(__file__).parent / "project"
PARTS = (
    "harness.c", "harness.h", "include/math.h", "include/string.h", "runtime.c", "siracusa.h", "start.S", "tw_cores.h",
)  # fmt: skip
HELPERS = "*(.text.tw_hot.*)"  # sections of TW_HELPER in kernels/tw_xpulp.h
BETWEEN_TOKENS = "*(.text.tw_sample_together)", "*(.text.meet)", "*(.text.*_generate)", "*(.text.tw_cluster_main)"
STORY = Story("Once upon a time", 64)


def export(compiled: Compiled, plan: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, str]:
    """Path -> content, beside the files that every target has, or instead of them."""
    language = plan["language"] is not None
    found = {f"runtime/{name}": (RUNTIME / name).read_text() for name in PARTS}
    placed = sections(plan, [name for _, name in compiled.source.state_names])
    found["runtime/link.ld"] = linker_script(*placed, functions(plan))
    converters = [name for name in texts if name.endswith("_state.c")]
    sources = sorted(name for name in texts if name.endswith(".c") and name not in ("main.c", *converters))
    program = ["main.c"] if language else ["main.c", "runtime/harness.c", *converters]
    values = {
        "PREFIX": compiled.prefix, "NAME": str(plan["name"]).replace("\n", " "),
        "SOURCES": "\n    ".join(sources),
        "PROGRAM": " ".join(program), "FABRIC": " ".join(FABRIC),
        "TRIPLE": TRIPLE, "CFLAGS": _lines(CFLAGS), "CLUSTER": " ".join(CLUSTER), "BOOT": " ".join(BOOT),
        "LINK": _lines(LINK),
        "FIRST_STACK": f"{FIRST_STACK:,}", "CORE_STACK": f"{CORE_STACK:,}", "STACKS": f"{STACKS:,}",
        "CALLS": _calls(compiled.prefix, language),
    }  # fmt: skip
    for name in ("CMakeLists.txt", "README.md", "siracusa.cmake"):
        found[name] = _filled((PROJECT / name).read_text(), values)
    return {**found, "main.c": example(plan, STORY)}


def linker_script(near: str, far: str, layers: str = HELPERS) -> str:
    """The linker script with the sections `near` in L1 and `far` in L2; the code of `layers` comes first."""
    text = (RUNTIME / "link.ld").read_text()
    values = {"TW_IN_L1": near, "TW_IN_L2": far, "TW_IN_LAYERS": layers, "TW_STACKS": str(STACKS)}
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def functions(plan: Mapping[str, Any]) -> str:
    """Sections of what a pass of one token or a plain network calls: layers that repeat before what is called once.

    What picks the next token follows them: where it lies depends on no kernel of prompts.

    Side by side they are spread evenly over the sets of the instruction cache, which hardly holds them. The names are
    those that -ffunction-sections gives; N-EUREKA's kernels are one function under several names.
    """
    nodes = [part for node in plan["entries"][-1]["nodes"] for part in (node, node.get("shared")) if part]
    calls = Counter(_function(part[which]) for part in nodes for which in ("kernel", "then") if part.get(which))
    several, once = (
        [f"*(.text.{name})" for name in calls if (calls[name] > 1) == repeats] for repeats in (True, False)
    )
    return "\n        ".join([*several, HELPERS, *once, *(BETWEEN_TOKENS if plan["language"] is not None else ())])


def _function(symbol: str) -> str:
    return "tw_neureka_*" if symbol.startswith("tw_neureka_") else symbol


def sections(plan: Mapping[str, Any], states: Sequence[str]) -> tuple[str, str]:
    """Sections in L1 and in L2: arenas by the plan's capacity, state by its level, the sampler's data where it is near.

    The names are those that -fdata-sections gives.
    """
    memories = list(plan["capacity"])
    arenas = {m: f"*(.bss.arena{f'_{m}' if len(memories) > 1 else ''})" for m in memories}
    near = [arenas.pop("l1", "")]
    if plan["levels"]["state"] == "l1":
        near += [f"*(.bss.{name})" for name in states]
    if plan["levels"]["output"] == "l1" and plan["language"] is not None:
        near.append("*(.bss.logits)")
    return "\n        ".join([*filter(None, near), "*(.bss.near)"]), " ".join(arenas.values())


def _lines(flags: Sequence[str]) -> str:
    return "\n    ".join(textwrap.wrap(" ".join(flags), 110, break_on_hyphens=False, break_long_words=False))


def _calls(prefix: str, language: bool) -> str:
    """What a program calls, for the guide."""
    if language:
        return f"`{prefix}_generate`, or `{prefix}_prefill` and `{prefix}_decode` (`{prefix}_lm.h`)"
    return f"`{prefix}_run` (`{prefix}.h`)"


def _filled(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text
