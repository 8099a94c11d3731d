"""Constants that travel together: structs with a member per constant, each at the offset that the plan gave it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from ..ir.program import Buffer
from .names import Names, short
from .weights import array_literal


@dataclass(frozen=True)
class Field:
    """A member of the struct, or (`buffer` None) the padding before one."""

    name: str
    ctype: str
    elements: int
    buffer: Buffer | None = None

    @property
    def text(self) -> str:
        return f"{self.ctype} {self.name}[{self.elements}];"


def fields(buffer: Buffer) -> tuple[Field, ...]:
    """The members in order of address, and the padding that puts them there. AssertionError where C could not."""
    names, found, at = Names(), [], 0
    for member in sorted(buffer.members, key=lambda m: m.offset or 0):
        assert member.offset is not None
        size = member.dtype.numpy.itemsize
        assert member.offset % size == buffer.bytes % size == 0, f"{member.name} is not aligned in {buffer.name}"
        assert member.offset >= at, f"{member.name} overlaps the member before it"
        if member.offset > at:
            found.append(_padding(names, member.offset - at))
        found.append(Field(names.of(member, short(member.name)), member.dtype.ctype, member.elements, member))
        at = member.offset + member.elements * size
    assert at <= buffer.bytes, f"{buffer.name} is shorter than its members"
    if at < buffer.bytes:
        found.append(_padding(names, buffer.bytes - at))
    return tuple(found)


def layout(buffer: Buffer) -> Hashable:
    """Equal for buffers that have the same struct type."""
    return tuple(field.text for field in fields(buffer))


def definition(tag: str, buffer: Buffer) -> str:
    """The type."""
    return f"struct {tag} {{\n" + "".join(f"    {field.text}\n" for field in fields(buffer)) + "};"


def literal(buffer: Buffer) -> str:
    """The initialiser, with braces."""
    if not buffer.members:
        assert buffer.data is not None, f"{buffer.name} is a constant without data"
        return array_literal(buffer.data)
    parts = []
    for field in fields(buffer):
        if field.buffer is not None:
            assert field.buffer.data is not None, f"{field.buffer.name} is a constant without data"
            parts.append(f".{field.name} = {array_literal(field.buffer.data)}")
    return "{\n" + ",\n".join(parts) + "\n}"


def _padding(names: Names, elements: int) -> Field:
    name = f"pad{elements}"
    return Field(names.of(object(), name), "unsigned char", elements)
