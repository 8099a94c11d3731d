"""Runs a program on byte memories: what the C does, address by address, with numpy for the kernels.

It keeps happens-before: bytes of a transfer or job that was started and not yet waited for must not be touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..ir.program import Barrier, Buffer, Call, Column, Copy, Job, Loop, Operand, Phase, Program, Ref, Step, Wait
from ..ir.types import Array, Kind, TensorType, resolve

Region = tuple[str, int, int]  # memory or buffer, first byte, one past the last


class RaceError(AssertionError):
    """A step touched bytes of a transfer or job that nobody waited for."""


class Machine:
    """Byte memories that outlive a run: constants, state and the arena. Fresh arenas hold junk, not zeros."""

    def __init__(self, programs: Sequence[Program], arena: Mapping[str, int]) -> None:
        self.memories = {name: np.full(size, 0xA5, np.uint8) for name, size in arena.items()}
        self.owned: dict[Buffer, Array] = {}
        for program in programs:
            for buffer in program.buffers:
                if buffer.offset is None and buffer.kind in (Kind.CONST, Kind.STATE):
                    self.owned[buffer] = _initial(buffer)

    def reset(self) -> None:
        """State back to zeros."""
        self.owned |= {b: _initial(b) for b in self.owned if b.kind is Kind.STATE}

    def run(self, program: Program, inputs: Sequence[Array], env: Mapping[str, int] | None = None) -> list[Array]:
        """Outputs in order, flat; inputs in order."""
        execution = _Execution(self, program, inputs, env or {})
        execution.steps(program.steps, ())
        if execution.pending:
            raise RaceError(f"{program.name} ends with tokens {sorted(execution.pending)} never waited for")
        return [execution.owned[b].view(b.dtype.numpy).copy() for b in program.outputs]


def _initial(buffer: Buffer) -> Array:
    if buffer.data is not None:
        return np.array(np.ascontiguousarray(buffer.data).view(np.uint8))
    return np.zeros(buffer.elements * buffer.dtype.numpy.itemsize, np.uint8)


class _Execution:
    def __init__(self, machine: Machine, program: Program, inputs: Sequence[Array], env: Mapping[str, int]) -> None:
        self.machine, self.env = machine, env
        self.owned = dict(machine.owned)
        for buffer, array in zip(program.inputs, inputs, strict=True):
            self.owned[buffer] = np.ascontiguousarray(array, buffer.dtype.numpy).reshape(-1).view(np.uint8)
        for buffer in program.outputs:
            self.owned.setdefault(buffer, np.full(buffer.elements * buffer.dtype.numpy.itemsize, 0xA5, np.uint8))
        self.pending: dict[int, list[tuple[Region, bool]]] = {}  # token -> regions, written?

    def steps(self, steps: Sequence[Step], row: tuple[Ref, ...]) -> None:
        for step in steps:
            match step:
                case Phase():
                    for call in step.calls:
                        self.call(call, row, None)
                case Job():
                    self.call(step.call, row, step.token)
                case Copy():
                    assert isinstance(step.bytes, int)
                    source = self.bytes_of(step.source, step.bytes, row)
                    target = self.bytes_of(step.target, step.bytes, row)
                    regions = [(self.region(step.source, step.bytes, row), False)]
                    regions += [(self.region(step.target, step.bytes, row), True)]
                    self.touch(regions)
                    target[:] = source
                    self.pending[step.token] = regions
                case Wait():
                    if step.token not in self.pending:
                        raise RaceError(f"wait for token {step.token}, which nothing started")
                    del self.pending[step.token]
                case Loop():
                    for entries in step.table.rows:
                        self.steps(step.body, entries)
                case Barrier():
                    pass

    def call(self, call: Call, row: tuple[Ref, ...], token: int | None) -> None:
        node, types = call.semantics, call.types()
        operands = dict(call.operands)
        results = [name for name, value in node.operands.items() if value in node.outputs]
        written = {*results, *node.op.aliases.values()}
        arrays: dict[str, Array] = {}
        regions: list[tuple[Region, bool]] = []
        for name, operand in operands.items():
            if operand is None or name == "scratch":
                continue
            regions.append((self.region(operand, self.size(operand, types[name], row), row), name in written))
            if name not in results:
                arrays[name] = self.read(operand, types[name], row)
        self.touch(regions)
        values = [arrays[self.name_of(call, i)] if v is not None else None for i, v in enumerate(node.inputs)]
        got = node.op.at(self.env).reference(*values)
        for name, array in zip(results, got if isinstance(got, tuple) else (got,), strict=True):
            operand = operands[name] if name in operands else operands[node.op.aliases[name]]
            assert operand is not None
            self.write(operand, array, row)
        if token is not None:
            self.pending[token] = regions

    def name_of(self, call: Call, index: int) -> str:
        value = call.semantics.inputs[index]
        return next(name for name, v in call.semantics.operands.items() if v is value)

    def resolve(self, operand: Operand, row: tuple[Ref, ...]) -> Ref:
        return row[operand.index] if isinstance(operand, Column) else operand

    def shape(self, kind: TensorType) -> tuple[int, ...]:
        return tuple(resolve(d, self.env) for d in kind.shape)

    def size(self, operand: Operand, kind: TensorType, row: tuple[Ref, ...]) -> int:
        buffer = self.resolve(operand, row).buffer
        if buffer.packing:
            return buffer.elements * buffer.dtype.numpy.itemsize
        return int(np.prod(self.shape(kind), dtype=np.int64)) * buffer.dtype.numpy.itemsize

    def bytes_of(self, operand: Operand, size: int, row: tuple[Ref, ...]) -> Array:
        """A view of the operand's bytes; IndexError beyond its buffer."""
        ref = self.resolve(operand, row)
        b = ref.buffer
        first = resolve(ref.offset, self.env) * b.dtype.numpy.itemsize
        if first < 0 or first + size > b.elements * b.dtype.numpy.itemsize:
            raise IndexError(f"{size} bytes at {first} of {b.name}, which has {b.elements} elements of {b.dtype}")
        home, base = (self.owned[b], 0) if b.offset is None else (self.machine.memories[b.memory], b.offset)
        part: Array = home[base + first : base + first + size]
        return part

    def region(self, operand: Operand, size: int, row: tuple[Ref, ...]) -> Region:
        ref = self.resolve(operand, row)
        first = resolve(ref.offset, self.env) * ref.buffer.dtype.numpy.itemsize + (ref.buffer.offset or 0)
        place = ref.buffer.memory if ref.buffer.offset is not None else f"buffer {id(ref.buffer)}"
        return place, first, first + size

    def read(self, operand: Operand, kind: TensorType, row: tuple[Ref, ...]) -> Array:
        buffer = self.resolve(operand, row).buffer
        raw = self.bytes_of(operand, self.size(operand, kind, row), row).view(buffer.dtype.numpy)
        shape = self.shape(kind)
        return np.array(buffer.packing.unpack(raw, shape) if buffer.packing else raw.reshape(shape))

    def write(self, operand: Operand, array: Array, row: tuple[Ref, ...]) -> None:
        buffer = self.resolve(operand, row).buffer
        flat = buffer.packing.pack(array) if buffer.packing else array
        raw = np.ascontiguousarray(flat, buffer.dtype.numpy).reshape(-1).view(np.uint8)
        self.bytes_of(operand, len(raw), row)[:] = raw

    def touch(self, regions: list[tuple[Region, bool]]) -> None:
        """Fail where an access meets an unfinished one and either of the two writes."""
        for token, started in self.pending.items():
            for (place, low, high), wrote in started:
                for (here, first, stop), writes in regions:
                    if here == place and first < high and low < stop and (wrote or writes):
                        raise RaceError(f"bytes {first}..{stop} of {here} touched before the wait for token {token}")
