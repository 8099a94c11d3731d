"""The program around a network on the chip: what it is called with, what it writes, and what is expected."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...ir.types import DTYPES, Array
from ..base import Story
from .target import RUNTIME


@dataclass(frozen=True)
class Job:
    """What the ELF does. inputs: arrays of the interface, for a language model the tokens of a prompt; None: zeros.

    A language model without inputs writes the story.
    """

    inputs: Sequence[Array] | None = None
    expected: Sequence[Array] | None = None
    repeat: int = 1
    story: Story = field(default_factory=Story)


def write_program(plan: Mapping[str, Any], job: Job, out: Path, runtime: Path) -> list[Path]:
    """Sources of the program, written into the build folder where they depend on the job; `runtime` has the others."""
    if plan["language"] is not None and job.inputs is None:
        (out / "story.c").write_text(_story(plan, job.story))
        return [out / "story.c"]
    entry = plan["entries"][-1]
    language = plan["language"] is not None
    inputs = job.inputs
    if inputs is None:
        inputs = [np.zeros(v["max_shape"], DTYPES[v["dtype"]].numpy) for v in entry["inputs"]]
    data = []
    for kind, section, arrays in (("input", ".tw.l2", inputs), ("expected", ".rodata", job.expected or ())):
        for i, array in enumerate(arrays):
            (out / f"{kind}{i}.bin").write_bytes(np.ascontiguousarray(array).tobytes() or b"\0")
            name = f"tw_{kind}{i}"
            data += [f'    .section {section}.{name}, "a"', "    .balign 16", f"    .globl {name}", f"{name}:"]
            data += [f'    .incbin "{kind}{i}.bin"']
    (out / "data.S").write_text("\n".join(data) + "\n")
    (out / "program.c").write_text(_plain(plan, job, [a.size for a in inputs], "extern const", language))
    return [runtime / "harness.c", out / "program.c", out / "data.S"]


def example(plan: Mapping[str, Any], story: Story) -> str:
    """The program of an exported project: two runs on zeros, or a language model that writes the story."""
    if plan["language"] is not None:
        return _story(plan, story)
    sizes = [math.prod(v["max_shape"]) for v in plan["entries"][-1]["inputs"]]
    return _plain(plan, Job(repeat=2), sizes, "static", language=False)


def _plain(plan: Mapping[str, Any], job: Job, inputs: Sequence[int], storage: str, language: bool) -> str:
    """Inputs, of so many elements, are elsewhere (`extern const`) or zeros in this file (`static`)."""
    prefix, entry = plan["prefix"], plan["entries"][-1]
    names = [f"tw_input{i}" for i in range(len(inputs))]
    lines = [f'#include "{prefix}{"_lm" if language else ""}.h"', '#include "harness.h"', "#include <string.h>", ""]
    types = ["int32_t"] if language else [DTYPES[v["dtype"]].ctype for v in entry["inputs"]]
    for ctype, name, elements in zip(types, names, inputs, strict=True):
        extent = max(1, elements) if storage == "static" else ""
        aligned = " __attribute__((aligned(16)))" if storage == "static" else ""
        lines.append(f"{storage} {ctype} {name}[{extent}]{aligned};")
    rows, results = [], []
    for i, value in enumerate(entry["outputs"]):
        dtype, elements = DTYPES[value["dtype"]], int(np.prod(value["max_shape"]))
        lines.append(f"{dtype.ctype} tw_result{i}[{max(1, elements)}] __attribute__((aligned(16)));")
        results.append(f"tw_result{i}")
        if job.expected is not None:
            lines.append(f"extern const {dtype.ctype} tw_expected{i}[];")
        kind = {"float32": "TW_FLOAT", "float64": "TW_DOUBLE"}.get(np.dtype(dtype.numpy).name, "TW_EXACT")
        expected = f"tw_expected{i}" if job.expected is not None and elements else "0"
        label = _text(str(value["name"]).encode())
        rows.append(
            f"    {{{label}, tw_result{i}, {expected}, {elements}, "
            f"{elements * np.dtype(dtype.numpy).itemsize}, {kind}}},"
        )
    lines += ["", "const tw_output tw_outputs[] = {", *rows, "};", f"const uint32_t tw_output_count = {len(rows)};"]
    lines += [f"volatile uint32_t tw_repeat = {job.repeat};", ""]
    if language:
        lines += [f"static const {prefix}_logit *logits;"]
        restart = load = ""
        call = f"    {prefix}_reset();\n    logits = {prefix}_prefill(tw_input0, {inputs[0]});"
        collect = "    memcpy(tw_result0, logits, sizeof tw_result0);"
    else:
        states = any(e["states"] for e in plan["entries"])
        restart = f"    {prefix}_reset();" if states else ""
        ports = [*zip(entry["inputs"], names, strict=True), *zip(entry["outputs"], results, strict=True)]
        call = f"    {prefix}_run({', '.join(name for port, name in ports if 'converter' not in port)});"
        load, collect = (
            "\n".join(f"    {port['converter']}({name});" for port, name in part if "converter" in port)
            for part in (ports[: len(names)], ports[len(names) :])
        )
    for name, body in (("restart", restart), ("load", load), ("call", call), ("collect", collect)):
        lines += [f"void tw_{name}(void)", "{", *([body] if body else []), "}", ""]
    return "\n".join(lines)


def _story(plan: Mapping[str, Any], story: Story) -> str:
    prefix = plan["prefix"]
    if plan["language"]["logit_scale"] is None:
        settings = f"{story.temperature!r}, {story.top_p!r}"
    else:
        settings = f"{_thousandths(story.temperature)}, {_thousandths(story.top_p)}"
    options = f"{{{story.tokens}, {settings}, {story.seed & 0xFFFFFFFF}u, {int(story.ignore_eos)}}}"
    prompt = _text(story.prompt.encode("utf-8", "surrogateescape"))
    text = (RUNTIME / "story.c").read_text()
    for name, value in (
        ("TW_HEADER", f'"{prefix}_lm.h"'), ("TW_PROMPT", prompt), ("TW_OPTIONS", options), ("PREFIX", prefix),
    ):  # fmt: skip
        text = text.replace(name, value)
    return text


def _thousandths(value: float) -> int:
    """Rounded down from the decimal digits, as the host's program reads them."""
    from decimal import Decimal

    return int(Decimal(repr(value)) * 1000)


def _text(content: bytes) -> str:
    """A C string literal of any bytes."""
    return '"' + "".join(f"\\{byte:03o}" for byte in content) + '"'
