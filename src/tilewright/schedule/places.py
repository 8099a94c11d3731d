"""Buffers of a program: blocks of the plan, constants, state, memory of the caller; and the operands of calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from ..ir.domain import Box
from ..ir.graph import Node
from ..ir.op import operand_names
from ..ir.plan import MEMBER_ALIGNMENT, Block, EntryPlan, Plan, aligned, packings_of
from ..ir.program import Buffer, Operand, Ref
from ..ir.types import DTYPES, I4, I8, U8, Array, DType, Expr, Kind, Value
from ..targets.base import Kernel, Packing, Target

Member = tuple[Value, Box, Packing | None]


class Shared:
    """Buffers that all entries of a network share: constants, bundles of constants, state."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.whole: dict[Value, Buffer] = {}
        self.bundles: dict[object, Buffer] = {}
        self.slices: dict[object, Buffer] = {}

    def of(self, value: Value, packing: Packing | None) -> Buffer:
        """A constant or a state as a whole."""
        if value not in self.whole:
            data = value.data if packing is None or value.data is None else packing.pack(value.data)
            size = packing.elements(value.type.static_shape) if packing else value.type.size
            memory = self.plan.levels[value.kind]
            flat = None if data is None else data.reshape(-1)
            dtype = element_type(value, packing)
            self.whole[value] = Buffer(value.name, value.kind, memory, None, size, dtype, flat, packing)
        return self.whole[value]

    def packed(self, value: Value, box: Box, packing: Packing) -> Buffer:
        """What a kernel that reads it where it is wants of a constant, as it wants it."""
        key = value, box, packing.name
        if key not in self.slices:
            flat = _cut(value, box, packing)
            memory, dtype = self.plan.levels[Kind.CONST], element_type(value, packing)
            self.slices[key] = Buffer(value.name, Kind.CONST, memory, None, flat.size, dtype, flat, packing)
        return self.slices[key]

    def bundle(self, members: Sequence[Member]) -> Buffer:
        """Constants that travel together, each 8-aligned; the same ones are one buffer."""
        key = tuple((value, box, packing.name if packing else "") for value, box, packing in members)
        if key not in self.bundles:
            parts: list[Array] = []
            buffers: list[Buffer] = []
            at = 0
            for value, box, packing in members:
                flat = _cut(value, box, packing)
                dtype = element_type(value, packing)
                buffers.append(Buffer(value.name, Kind.CONST, "", at, flat.size, dtype, flat, packing))
                raw = flat.view(np.uint8)
                size = aligned(raw.size, MEMBER_ALIGNMENT)
                parts.append(np.pad(raw, (0, size - raw.size)))
                at += size
            name = max(members, key=lambda m: m[0].type.bytes)[0].name
            memory = self.plan.levels[Kind.CONST]
            self.bundles[key] = Buffer(
                name, Kind.CONST, memory, None, at, U8, np.concatenate(parts), None, tuple(buffers)
            )  # fmt: skip
        return self.bundles[key]


class Places:
    """Where the values of one entry are."""

    def __init__(self, entry: EntryPlan, plan: Plan, shared: Shared, target: Target) -> None:
        self.entry, self.graph, self.plan, self.shared, self.target = entry, entry.graph, plan, shared, target
        self.blocks: Mapping[str, Block] = {block.name: block for block in entry.blocks}
        self.local: dict[object, Buffer] = {}
        memory = plan.levels.get(Kind.OUTPUT, "caller")
        self.caller = {v: _caller_buffer(v, Kind.INPUT, "caller") for v in self.graph.arguments}
        self.caller |= {v: _caller_buffer(v, Kind.OUTPUT, memory) for v in self.graph.results}
        self.packings = packings_of(entry.graph, entry.choices)

    def ref(self, value: Value) -> Ref:
        """Where a value is, seen through in-place updates and views."""
        root, offset = self.graph.storage(value), Expr(0)
        while (node := self.graph.producers.get(root)) is not None and node.op.view and root not in self.caller:
            offset = offset + node.op.offset(*node.types)
            assert node.inputs[0] is not None
            root = self.graph.storage(node.inputs[0])
        home = self.entry.homes.get(root)
        if home is not None and home.block is not None:
            block = self.blocks[home.block]
            return Ref(self.block(block, root.type.dtype), (offset + home.offset).simplified())
        if root in self.caller:
            return Ref(self.caller[root], offset.simplified())
        assert root.kind in (Kind.CONST, Kind.STATE), f"{root!r} has no home"
        return Ref(self.shared.of(root, self.packings.get(root)), offset.simplified())

    def block(self, block: Block, dtype: DType) -> Buffer:
        """The buffer of a block as elements of one type; values that share the block share the buffer."""
        return self.part(block, block.offset, block.bytes * 8 // dtype.bits, dtype, None)

    def part(self, block: Block, offset: int, elements: int, dtype: DType, packing: Packing | None) -> Buffer:
        """Part of a block as elements of one type."""
        key = (block.name, offset, elements, dtype.name, packing.name if packing else "")
        if key not in self.local:
            self.local[key] = Buffer(block.name, Kind.ACT, block.memory, offset, elements, dtype, None, packing)
        return self.local[key]

    def scratch(self, node: Node, ctype: str) -> Ref:
        """The node's scratch, typed as its kernel wants it."""
        block = self.blocks[f"{node.name}.scratch"]
        plain = ctype.replace("restrict", "").strip("* ")
        dtype = next(t for t in DTYPES.values() if t.ctype == plain and t.bits >= 8)  # i4 is held as int8_t too
        return Ref(self.block(block, dtype))


def pointer_operands(
    kernel: Kernel, node: Node, resolve: Callable[[str], Operand | None], scratch: Callable[[str], Ref]
) -> Iterator[tuple[str, Operand | None]]:
    """The kernel's pointer parameters with what they point to; None for operands that are not there."""
    by_name = node.operands
    names = {*operand_names(node.op, len(node.inputs)), *by_name, *(n.rstrip("?*") for n in node.op.operands)}
    for ctype, name in kernel.parameters:
        if name == "scratch":
            yield name, scratch(ctype)
        elif kernel.gathers(name):
            yield from ((n, resolve(n)) for n in by_name if n.rstrip("0123456789") == name)
        elif name in names and "*" in ctype:
            yield name, resolve(name) if name in by_name else None


def _cut(value: Value, box: Box, packing: Packing | None) -> Array:
    """A box of a constant, packed and flat."""
    assert value.data is not None
    cut = value.data[tuple(slice(low, high) for low, high in box)]
    return np.ascontiguousarray(packing.pack(cut) if packing else cut, element_type(value, packing).numpy).reshape(-1)


def element_type(value: Value, packing: Packing | None) -> DType:
    """Of the stored form: 4-bit elements are two to a byte, once packed."""
    return I8 if packing and value.type.dtype is I4 else value.type.dtype


def _caller_buffer(value: Value, kind: Kind, memory: str) -> Buffer:
    return Buffer(value.name, kind, memory, None, value.type.size, value.type.dtype)
