"""Graph + Plan -> Programs: buffers with addresses, one call per node, repeated blocks rolled into loops."""

from __future__ import annotations

from collections.abc import Mapping

from ..ir.graph import Graph, Node
from ..ir.op import operand_names
from ..ir.plan import Block, Choice, EntryPlan, Plan
from ..ir.program import Buffer, Call, Operand, Phase, Program, Ref, Step
from ..ir.types import DTYPES, I4, I8, DType, Expr, Kind, Value
from ..targets.base import Packing
from .roll import roll


def lower(plan: Plan) -> tuple[Program, ...]:
    """One program per entry; constants and states are the same buffers in all of them."""
    shared: dict[Value, Buffer] = {}
    return tuple(_Lowering(entry, plan, shared).program() for entry in plan.entries)


class _Lowering:
    def __init__(self, entry: EntryPlan, plan: Plan, shared: dict[Value, Buffer]) -> None:
        self.entry, self.graph, self.plan, self.shared = entry, entry.graph, plan, shared
        self.blocks = {block.name: block for block in entry.blocks}
        self.local: dict[tuple[str, str], Buffer] = {}
        self.caller = {v: _caller_buffer(v, Kind.INPUT) for v in self.graph.arguments}
        self.caller |= {v: _caller_buffer(v, Kind.OUTPUT) for v in self.graph.results}
        self.packings = _packings(entry.graph, entry.choices)

    def program(self) -> Program:
        calls = tuple(self.call(node) for node in self.graph.nodes if not node.op.view)
        steps: tuple[Step, ...] = tuple(Phase((call,)) for call in calls)
        used = dict.fromkeys(
            operand.buffer for call in calls for _, operand in call.operands if isinstance(operand, Ref)
        )
        inputs = tuple(self.caller[v] for v in self.graph.arguments)
        outputs = tuple(self.caller[v] for v in self.graph.results)
        return Program(self.graph.name, roll(steps), inputs, outputs, self.graph.syms, tuple(used))

    def call(self, node: Node) -> Call:
        kernel = self.entry.choices[node.name].kernel
        by_name = node.operands
        scalars = kernel.arguments(node)
        names = {*operand_names(node.op, len(node.inputs)), *by_name, *(n.rstrip("?*") for n in node.op.operands)}
        operands: list[tuple[str, Operand | None]] = []
        for ctype, name in kernel.parameters:
            if name == "scratch":
                operands.append((name, self.scratch(node, ctype)))
            elif kernel.gathers(name):
                operands += [(n, self.ref(v)) for n, v in by_name.items() if n.rstrip("0123456789") == name]
            elif name in names and "*" in ctype:
                operands.append((name, self.ref(by_name[name]) if name in by_name else None))
        return Call(kernel, node, tuple(operands), tuple(scalars.items()))

    def scratch(self, node: Node, ctype: str) -> Ref:
        block = self.blocks[f"{node.name}.scratch"]
        dtype = next(t for t in DTYPES.values() if t.ctype == ctype.replace("restrict", "").strip("* "))
        return Ref(self.block_buffer(block, dtype))

    def ref(self, value: Value) -> Ref:
        """Where a value is, seen through in-place updates and views."""
        root, offset = self.graph.storage(value), Expr(0)
        while (node := self.graph.producers.get(root)) is not None and node.op.view and root not in self.caller:
            offset = offset + node.op.offset(*node.types)
            assert node.inputs[0] is not None
            root = self.graph.storage(node.inputs[0])
        if root in self.caller:
            return Ref(self.caller[root], offset.simplified())
        if root.kind in (Kind.CONST, Kind.STATE):
            return Ref(self.shared_buffer(root), offset.simplified())
        home = self.entry.homes[root]
        assert home.block is not None
        return Ref(self.block_buffer(self.blocks[home.block], root.type.dtype), (offset + home.offset).simplified())

    def block_buffer(self, block: Block, dtype: DType) -> Buffer:
        """The buffer of a block as elements of one type; values that share the block share the buffer."""
        key = (block.name, dtype.name)
        if key not in self.local:
            elements = block.bytes * 8 // dtype.bits
            self.local[key] = Buffer(block.name, Kind.ACT, block.memory, block.offset, elements, dtype)
        return self.local[key]

    def shared_buffer(self, value: Value) -> Buffer:
        if value not in self.shared:
            packing = self.packings.get(value)
            data = value.data if packing is None or value.data is None else packing.pack(value.data)
            size = packing.elements(value.type.static_shape) if packing else value.type.size
            memory = self.plan.levels[value.kind]
            flat = None if data is None else data.reshape(-1)
            dtype = I8 if packing and value.type.dtype is I4 else value.type.dtype  # two to a byte, once packed
            self.shared[value] = Buffer(value.name, value.kind, memory, None, size, dtype, flat, packing)
        return self.shared[value]


def _packings(graph: Graph, choices: Mapping[str, Choice]) -> dict[Value, Packing]:
    """The packing of each constant and state, from the kernels that use them (the checker proved that they agree)."""
    found: dict[Value, Packing] = {}
    for node in graph.nodes:
        if node.op.view:
            continue
        packings = choices[node.name].kernel.packing
        found |= {graph.storage(v): packings[name] for name, v in node.operands.items() if name in packings}
    return found


def _caller_buffer(value: Value, kind: Kind) -> Buffer:
    return Buffer(value.name, kind, "caller", None, value.type.size, value.type.dtype)
