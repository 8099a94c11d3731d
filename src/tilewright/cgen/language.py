"""The language face of a compiled model: tokenizer, sampler, prefill and decode, the example program."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

from ..ir.plan import Plan, aligned
from ..ir.program import Copy, Loop, Once, Ref, Step
from ..ir.types import Kind, maximum
from ..lm.emit import vocabulary_c
from ..lm.sampler import fixed_unit
from ..passes.few import FEW
from ..solve.scratchpad import state_bytes
from .skeleton import guard, render, summary

if TYPE_CHECKING:
    from ..compiled import Compiled
    from ..model import Language
    from ..targets.base import Target

HAND_WRITTEN = ("tokenizer.c", "tokenizer.h", "sampler.c", "sampler.h")
FOR_FLOATS = ("sampler_float.c", "sampler_float.h")
MIN_SYMBOLS = 1024


def symbols(context: int) -> int:
    """Symbols that a prompt may have before merging: a full context of four-byte tokens, and room for a short one."""
    return max(MIN_SYMBOLS, 4 * context)


def sampler_bytes(language: Language, target: Target) -> int:
    """Of cores that draw together: logits of floats as integers, bins, settings, each core's part and position."""
    integers = 4 if language.logit_scale is None else 0
    return aligned((integers + 1) * len(language.vocabulary)) + aligned(4 * (4 + 23 + 19 * target.cores))


def face_bytes(language: Language, target: Target) -> int:
    """RAM of the language face: position, logits, those of floats as integers too, bins, prompt buffers."""
    vocabulary, context = len(language.vocabulary), language.context
    integers = 4 if language.logit_scale is None else 0
    drawing = 4 * target.cores + sampler_bytes(language, target) if target.cores > 1 else (integers + 1) * vocabulary
    return 4 + 4 * vocabulary + (2 + 4) * symbols(context) + 4 * context + drawing


def near(language: Language, plan: Plan, target: Target) -> bool:
    """Whether the sampler's data are in the scratchpad: where network, state and logits leave room for them."""
    memory = next((m for m in target.memories if m.name == target.scratchpad), None)
    if memory is None or memory.bytes is None:
        return False
    graphs = [entry.graph for entry in plan.entries]
    taken = plan.capacity.get(memory.name, 0)
    if plan.levels[Kind.STATE] == memory.name:
        taken += state_bytes(graphs, {entry.graph.name: entry.choices for entry in plan.entries})
    if plan.levels[Kind.OUTPUT] == memory.name:
        taken += max(sum(aligned(v.type.bytes) for v in graph.outputs) for graph in graphs)
    return taken + sampler_bytes(language, target) <= memory.bytes


def fetched(steps: Sequence[Step]) -> bool:
    """Whether inputs come by a transfer: the caller has them outside the scratchpad then."""
    for step in steps:
        if isinstance(step, Copy) and isinstance(step.source, Ref) and step.source.buffer.kind is Kind.INPUT:
            return True
        if isinstance(step, Loop | Once) and fetched(step.body if isinstance(step, Loop) else step.steps):
            return True
    return False


def few(plan: Plan) -> int:
    """Tokens of a prompt, at most, for which there is a function of their own; 0: there is none."""
    graph = next((entry.graph for entry in plan.entries if entry.graph.name == f"prefill{FEW}"), None)
    return 0 if graph is None else maximum(graph.inputs[0].type.shape[0])


def language_files(compiled: Compiled) -> dict[str, str]:
    """Path -> content."""
    language = compiled.model.language
    assert language is not None
    prefix, vocabulary = compiled.prefix, language.vocabulary
    values = {
        "prefix": prefix,
        "guard": guard(prefix),
        "summary": summary(compiled),
        "memory": compiled.memory,
        "vocabulary": len(vocabulary),
        "context": language.context,
        "chunk": language.chunk,
        "few": few(compiled.plan),
        "bos": vocabulary.bos,
        "eos": vocabulary.eos,
        "symbols": symbols(language.context),
        "scale": language.logit_scale,
        "cores": compiled.source.cores,
        "place": "near" if near(language, compiled.plan, compiled.target) else "far",
        "apart": any(fetched(program.steps) for program in compiled.programs),
        "unit": fixed_unit(language.logit_scale) if language.logit_scale is not None else (0, 0),
    }
    hand_written = HAND_WRITTEN if language.logit_scale is not None else HAND_WRITTEN + FOR_FLOATS
    folder = files("tilewright.lm") / "c"
    return {
        f"{prefix}_lm.h": render("lm.h.j2", **values),
        f"{prefix}_lm.c": render("lm.c.j2", **values),
        "main.c": render("lm_main.c.j2", **values),
        f"{prefix}_vocabulary.c": vocabulary_c(vocabulary, f"{prefix}_vocabulary"),
        **{f"lm/{name}": (folder / name).read_text() for name in hand_written},
    }
