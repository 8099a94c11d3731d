"""The whole pipeline on one screen: a model goes in, a compiled network comes out."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from .cgen.language import face_bytes, sampler_bytes
from .cgen.names import identifier
from .cgen.printer import print_programs
from .compiled import Compiled
from .debug import debug
from .frontend.load import load
from .ir.text import program_text
from .model import Model
from .options import Options
from .passes import pipeline
from .passes.few import affordable, with_few, without_few
from .schedule.lower import lower
from .solve.plan import solve
from .solve.trace import kernels_text, plan_text
from .targets.base import Target
from .targets.registry import find


def compile_model(model: Model, target: Target, options: Options, dump: Path | None = None) -> Compiled:
    """Passes, plan, programs and C for a model on a target."""
    began = time.process_time()
    graphs = [*with_few([pipeline.apply(graph, target, dump) for graph in model.entries], target)]
    drawing = sampler_bytes(model.language, target) if model.language else 0
    plan = solve(graphs, target, outputs_near=model.language is not None, room=drawing)
    debug(1, lambda: plan_text(plan))
    debug(2, lambda: "\n".join(map(kernels_text, plan.entries)))
    programs = lower(plan, target)
    if not affordable(programs, target):
        plan = without_few(plan)
        programs = lower(plan, target)
    if dump is not None:
        for program in programs:
            (dump / f"{program.name}.program.txt").write_text(program_text(program))
    prefix = identifier(options.name or model.name).lower()
    source = print_programs(programs, prefix, plan.capacity, target, shared=any(g.bound for g in graphs))
    face = face_bytes(model.language, target) if model.language else 0
    return Compiled(model, target, plan, programs, source, prefix, face, time.process_time() - began)


def compile_file(path: str, target: str, options: Options, dump: Path | None = None) -> Compiled:
    """`compile_model` for a model file and a target's name."""
    chosen = find(target, options)
    options = replace(options, language_quant=chosen.language_quant, language_chunk=chosen.tokens_at_once)
    return compile_model(load(path, options), chosen, options, dump)


__all__ = ["Compiled", "compile_file", "compile_model"]
