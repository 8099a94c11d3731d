"""The whole pipeline on one screen: a model goes in, a compiled network comes out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from .cgen.language import face_bytes
from .cgen.names import identifier
from .cgen.printer import Source, print_programs
from .debug import debug
from .frontend.load import load
from .ir.plan import Plan
from .ir.program import Program
from .ir.types import nominal
from .model import Model
from .options import Options
from .passes import pipeline
from .schedule.lower import lower
from .solve.plan import solve
from .solve.trace import kernels_text, plan_text
from .targets.base import Target
from .targets.registry import find


@dataclass(frozen=True)
class Compiled:
    """Everything known about a network before any C is compiled. `seconds` is CPU time of the compiler."""

    model: Model
    target: Target
    plan: Plan
    programs: tuple[Program, ...]
    source: Source
    prefix: str
    seconds: float

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run (one decoded token for a language model) at nominal sizes."""
        entry = self.plan.entries[-1]
        total = 0
        for node in entry.graph.nodes:
            shapes = {name: value.type.shape for name, value in node.operands.items()}
            total += nominal(node.op.domain(*node.types).macs(shapes))
        return total

    @property
    def ram_bytes(self) -> int:
        """Static RAM of the network's own files: what .data and .bss of the built library add up to."""
        return sum(self.memory[use] for use in ("arena", "state", "face"))

    @property
    def memory(self) -> dict[str, int]:
        """Bytes per use: constants, arena of transients, state, language face (all static), memory of the caller."""
        buffers = {b for p in self.programs for b in p.buffers}
        last = self.plan.entries[-1].graph
        outside = () if self.model.language else (*last.inputs, *last.outputs)
        return {
            "weights": sum(b.bytes for b in buffers if b.kind.value == "const"),
            "arena": sum(self.plan.capacity.values()),
            "state": sum(b.bytes for b in buffers if b.kind.value == "state"),
            "face": face_bytes(self.model.language) if self.model.language else 0,
            "io": sum(v.type.size * v.type.dtype.bits // 8 for v in outside),
        }


def compile_model(model: Model, target: Target, options: Options, dump: Path | None = None) -> Compiled:
    """Passes, plan, programs and C for a model on a target."""
    began = time.process_time()
    graphs = [pipeline.apply(graph, target, dump) for graph in model.entries]
    plan = solve(graphs, target)
    debug(1, lambda: plan_text(plan))
    debug(2, lambda: "\n".join(map(kernels_text, plan.entries)))
    programs = lower(plan)
    prefix = identifier(options.name or model.name).lower()
    source = print_programs(programs, prefix, sum(plan.capacity.values()))
    return Compiled(model, target, plan, programs, source, prefix, time.process_time() - began)


def compile_file(path: str, target: str, options: Options, dump: Path | None = None) -> Compiled:
    """`compile_model` for a model file and a target's name."""
    chosen = find(target, options)
    return compile_model(load(path, options), chosen, options, dump)


__all__ = ["Compiled", "compile_file", "compile_model"]
