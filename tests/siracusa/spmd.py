"""Hand-made programs as compiled networks: what the printer and the runtime do with steps that no plan has made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tilewright.cgen.printer import print_programs
from tilewright.cgen.project import write
from tilewright.compiled import Compiled
from tilewright.ir.graph import Builder
from tilewright.ir.plan import Choice, EntryPlan, Home, Plan
from tilewright.ir.program import Buffer, Call, Operand, Program, Ref, Step
from tilewright.ir.types import I32, U8, Array, Kind, TensorType
from tilewright.model import Model
from tilewright.ops import Add
from tilewright.targets.base import Argument, Kernel
from tilewright.targets.siracusa.runner import SiracusaRunner
from tilewright.targets.siracusa.target import SIRACUSA

_POINTERS = "const int32_t *a, const int32_t *b, int32_t *y"
SCALE = Kernel(
    Add, "spmd.c", "test_scale", f"{_POINTERS}, int32_t n, int32_t factor, int32_t first, int32_t last", {}
)  # fmt: skip
SCRATCH = Kernel(
    Add, "spmd.c", "test_scratch",
    f"{_POINTERS}, int32_t *scratch, int32_t n, int32_t factor, int32_t first, int32_t last", {},
)  # fmt: skip
GIVEN = Kernel(
    Add, "spmd.c", "test_given",
    f"{_POINTERS}, int32_t *scratch, int32_t n, int64_t more, int32_t factor, int32_t first, int32_t last", {},
    by_struct=True, late=frozenset({"factor"}),
)  # fmt: skip
PART = Kernel(Add, "spmd.c", "test_part", f"{_POINTERS}, int32_t n, int32_t factor", {})
GIVEN_PART = replace(PART, symbol="test_given_part", by_struct=True)
KERNELS = (SCALE, SCRATCH, GIVEN, PART, GIVEN_PART)
TARGET = replace(SIRACUSA, kernels=KERNELS, kernel_folders=(Path(__file__).parent,), headers=())


def call(kernel: Kernel, name: str, operands: Mapping[str, Operand | None], **scalars: Argument) -> Call:
    """A call whose meaning is in the C alone."""
    builder = Builder("g")
    kind = TensorType((1,), I32)
    builder.add(Add(), builder.input("a", kind), builder.input("b", kind), name=name)
    return Call(kernel, builder.nodes[0], tuple(operands.items()), tuple(scalars.items()))


def caller(name: str, kind: Kind, elements: int) -> Buffer:
    return Buffer(name, kind, "caller" if kind is Kind.INPUT else "l2", None, elements, I32)


def transient(name: str, offset: int, elements: int, memory: str = "l1") -> Buffer:
    return Buffer(name, Kind.ACT, memory, offset, elements, I32)


def constant(name: str, data: Array, offset: int | None = None) -> Buffer:
    return Buffer(name, Kind.CONST, "wmem", offset, data.size, I32, data)


def bundle(name: str, members: Sequence[Buffer]) -> Buffer:
    size = max((m.offset or 0) + m.bytes for m in members)
    return Buffer(name, Kind.CONST, "wmem", None, -(-size // 8) * 8, U8, members=tuple(members))


def compiled(
    steps: Sequence[Step], x: Buffer, y: Buffer, others: Sequence[Buffer], l1: int, l2: int = 0, *,
    tables: int = SIRACUSA.tables,
) -> Compiled:  # fmt: skip
    """A network `net` of one input and one output that runs these steps, with room for so many bytes of tables."""
    builder = Builder("run")
    kind = TensorType((x.elements,), I32)
    value = builder.input("x", kind)
    (result,) = builder.add(Add(), value, value, name="y")
    graph = builder.finish((result,))
    choices = {"y": Choice(SCALE, 0.0, 0.0, 0)}
    entry = EntryPlan(graph, choices, (), {value: Home(None), result: Home(None)})
    levels = {Kind.CONST: "wmem", Kind.ACT: "l1", Kind.STATE: "l2", Kind.OUTPUT: "l2"}
    plan = Plan("siracusa", (entry,), {}, {"l1": l1, "l2": l2}, 0, levels)
    program = Program("run", tuple(steps), (x,), (y,), (), (x, y, *others))
    source = print_programs([program], "net", plan.capacity, replace(TARGET, tables=tables))
    return Compiled(Model("net", (graph,)), TARGET, plan, (program,), source, "net", 0, 0.0)


def run(network: Compiled, folder: Path, x: Array) -> list[Array]:
    """Outputs of two runs in a row."""
    write(network, folder)
    chip = SiracusaRunner(folder)
    return [np.array(outputs[0]).reshape(-1) for outputs in chip.series([x], 2, None)]


__all__ = [
    "GIVEN", "GIVEN_PART", "PART", "SCALE", "SCRATCH", "Ref", "bundle", "call", "caller", "compiled", "constant", "run",
    "transient",
]  # fmt: skip
