"""A compiled network: everything known about it before any C is compiled."""

from __future__ import annotations

from dataclasses import dataclass

from .cgen.printer import Source
from .ir.plan import Plan
from .ir.program import Program
from .ir.types import nominal
from .model import Model
from .quant.check import float_ops
from .targets.base import Target


@dataclass(frozen=True)
class Compiled:
    """Everything that is decided. `prefix` begins every external C name; `seconds` is CPU time of the compiler."""

    model: Model
    target: Target
    plan: Plan
    programs: tuple[Program, ...]
    source: Source
    prefix: str
    face: int  # bytes of RAM of the language face, 0 for other networks
    seconds: float

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run (one decoded token for a language model) at nominal sizes.

        Those of the network as it was read: kernels may compute more, results that nobody takes among them.
        """
        total = 0
        for node in self.model.entries[-1].nodes:
            shapes = {name: value.type.shape for name, value in node.operands.items()}
            total += nominal(node.op.domain(*node.types).macs(shapes))
        return total

    @property
    def float_ops(self) -> int:
        """Operators of one run that touch a float: 0 for integer networks, between their interfaces."""
        return float_ops(self.plan.entries[-1].graph)

    @property
    def ram_bytes(self) -> int:
        """Static RAM of the network's own files: what .data and .bss of the built library add up to."""
        memory = self.memory
        return sum(memory[use] for use in ("arena", "state", "face"))

    @property
    def memory(self) -> dict[str, int]:
        """Bytes per use: constants, arena of transients, state, language face (all static), memory of the caller."""
        buffers = {b for p in self.programs for b in p.buffers}
        last = self.plan.entries[-1].graph
        outside = () if self.model.language else (*last.arguments, *last.results)
        return {
            "weights": sum(b.bytes for b in buffers if b.kind.value == "const"),
            "arena": sum(self.plan.capacity.values()),
            "state": sum(b.bytes for b in buffers if b.kind.value == "state"),
            "face": self.face,
            "io": sum(v.type.size * v.type.dtype.bits // 8 for v in outside),
        }
