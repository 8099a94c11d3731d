"""Byte memories of a machine: where buffers are, what they hold at first, operands read and written as arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ..ir.program import Buffer, Program, Ref
from ..ir.regions import Place, Region
from ..ir.types import Array, Kind, TensorType, resolve
from ..targets.base import Packing


def size_of(buffer: Buffer) -> int:
    """Bytes as numpy holds them."""
    return buffer.elements * buffer.dtype.numpy.itemsize


@dataclass(frozen=True)
class Spot:
    """Where an operand begins, and the buffer that it is in, which begins at `base`. Bytes of the place."""

    buffer: Buffer
    place: Place
    base: int
    first: int

    @property
    def room(self) -> int:
        """Bytes from here to the end of the buffer."""
        return self.base + size_of(self.buffer) - self.first

    @property
    def constant(self) -> bool:
        """Whether nothing may write here."""
        return isinstance(self.place, Buffer) and self.place.kind is Kind.CONST

    def holds(self, size: int) -> None:
        """IndexError unless the bytes from here on are the buffer's."""
        if self.first < self.base or size > self.room:
            raise IndexError(
                f"{size} bytes at {self.first - self.base} of {self.buffer.name}, "
                f"which has {self.buffer.elements} elements of {self.buffer.dtype}"
            )


class Memories:
    """Bytes of every place. Fresh memory holds junk; constants and state are set, state to zeros."""

    def __init__(self, programs: Iterable[Program], capacity: Mapping[str, int], seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.bytes: dict[Place, Array] = {name: self.junk(size) for name, size in capacity.items()}
        self.homes: dict[Buffer, tuple[Place, int]] = {}
        self.elements: dict[tuple[str, tuple[int, ...]], int] = {}
        self.constants: dict[tuple[Buffer, int, tuple[int, ...]], Array] = {}
        for program in programs:
            for buffer in program.buffers:
                if buffer not in self.homes and buffer.kind not in (Kind.INPUT, Kind.OUTPUT):
                    self._place(buffer)
        for buffer in self.homes:
            self._initialise(buffer)

    def reset(self) -> None:
        """State back to zeros."""
        for buffer in self.homes:
            if buffer.kind is Kind.STATE:
                self._initialise(buffer)

    def lend(self, buffer: Buffer, content: Array | None = None) -> None:
        """Memory of the caller, for one run: as large as the buffer, junk behind a content that is shorter."""
        self.homes[buffer] = (buffer, 0)
        self.bytes[buffer] = self.junk(size_of(buffer))
        if content is not None:
            raw = np.ascontiguousarray(content, buffer.dtype.numpy).reshape(-1).view(np.uint8)
            if len(raw) > size_of(buffer):
                raise IndexError(f"{len(raw)} bytes for {buffer.name}, which has {size_of(buffer)}")
            self.bytes[buffer][: len(raw)] = raw

    def junk(self, size: int) -> Array:
        return np.frombuffer(bytearray(self.random.bytes(size)), np.uint8)

    def spoil(self, region: Region) -> None:
        """Junk in place of what was there."""
        region.view(self.bytes[region.place])[...] = self.junk(region.bytes).reshape(region.shape)

    def spot(self, ref: Ref, env: Mapping[str, int]) -> Spot:
        if ref.buffer not in self.homes:
            raise ValueError(f"{ref.buffer.name} is no buffer of the program")
        place, base = self.homes[ref.buffer]
        itemsize = ref.buffer.dtype.numpy.itemsize
        if base % itemsize:
            raise ValueError(f"{ref.buffer.name} at {base} is not aligned to elements of {ref.buffer.dtype}")
        return Spot(ref.buffer, place, base, base + resolve(ref.offset, env) * itemsize)

    def size(self, buffer: Buffer, shape: tuple[int, ...]) -> int:
        """Bytes of an operand of this shape, as the buffer holds it."""
        itemsize = buffer.dtype.numpy.itemsize
        return (self._packed(buffer.packing, shape) if buffer.packing else math.prod(shape)) * itemsize

    def read(self, spot: Spot, kind: TensorType, shape: tuple[int, ...]) -> Array:
        """An operand as a logical array; a copy, but for packed constants, which are kept."""
        buffer = spot.buffer
        key = (buffer, spot.first, shape)
        if key in self.constants:
            return self.constants[key]
        size = self.size(buffer, shape)
        spot.holds(size)
        if buffer.packing is None and buffer.dtype != kind.dtype:
            raise TypeError(f"{buffer.name} has elements of {buffer.dtype}, the operand is {kind!r}")
        raw = self.bytes[spot.place][spot.first : spot.first + size].view(buffer.dtype.numpy)
        array = np.array(buffer.packing.unpack(raw, shape) if buffer.packing else raw.reshape(shape))
        if buffer.packing and spot.constant:
            array.setflags(write=False)
            self.constants[key] = array
        return array

    def write(self, spot: Spot, array: Array) -> None:
        buffer = spot.buffer
        flat = buffer.packing.pack(array) if buffer.packing else array
        raw = np.ascontiguousarray(flat, buffer.dtype.numpy).reshape(-1).view(np.uint8)
        if spot.constant:
            raise ValueError(f"{buffer.name} is written, and constant")
        spot.holds(len(raw))
        self.bytes[spot.place][spot.first : spot.first + len(raw)] = raw

    def _packed(self, packing: Packing, shape: tuple[int, ...]) -> int:
        key = packing.name, shape
        if key not in self.elements:
            self.elements[key] = packing.elements(shape)
        return self.elements[key]

    def _place(self, buffer: Buffer) -> None:
        if buffer.offset is None:
            self.homes[buffer] = (buffer, 0)
            self.bytes[buffer] = self.junk(size_of(buffer))
        else:
            self.homes[buffer] = (buffer.memory, buffer.offset)
            if buffer.offset + size_of(buffer) > len(self.bytes.get(buffer.memory, ())):
                raise IndexError(f"{buffer.name} at {buffer.offset} is not inside of {buffer.memory}")
        self._place_members(buffer)

    def _place_members(self, buffer: Buffer) -> None:
        place, base = self.homes[buffer]
        for member in buffer.members:
            if member.offset is None or member.offset + size_of(member) > size_of(buffer):
                raise IndexError(f"{member.name} is not inside of {buffer.name}")
            home = place, base + member.offset
            if self.homes.setdefault(member, home) != home:
                raise ValueError(f"{member.name} is a member of two buffers")
            self._place_members(member)

    def _initialise(self, buffer: Buffer) -> None:
        place, base = self.homes[buffer]
        if buffer.data is not None:
            data = np.ascontiguousarray(buffer.data).reshape(-1).view(np.uint8)
            self.bytes[place][base : base + len(data)] = data
        elif buffer.kind is Kind.STATE:
            self.bytes[place][base : base + size_of(buffer)] = 0
