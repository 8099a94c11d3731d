"""Arenas of transients as C: one union per memory, of structs that are each padded to their address.

Every access is a named, typed member (`arena.q.v`), overlap is visible in the source, and no pointer is ever cast.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from ..ir.program import Buffer, Program
from .names import Names, identifier, role, short

INDENT = "    "


class Arenas:
    """The unions of some programs, filled as their buffers are named. `capacity`: bytes by memory."""

    def __init__(self, programs: Sequence[Program], capacity: Mapping[str, int], attribute: str) -> None:
        self.programs, self.capacity, self.attribute = [p.name for p in programs], capacity, attribute
        self.members = {(program, memory): Names() for program in self.programs for memory in capacity}
        self.users: dict[Hashable, set[str]] = {}  # names of the buffers that share a member
        for program in programs:
            for buffer in program.buffers:
                self.users.setdefault((program.name, buffer.memory, _shared(buffer)), set()).add(buffer.name)
        self.lines: dict[tuple[str, str], dict[tuple[int, str], str]] = {key: {} for key in self.members}

    def name(self, memory: str) -> str:
        """`arena`, where there are several: `arena_l1`."""
        return "arena" if len(self.capacity) == 1 else f"arena_{identifier(memory)}"

    def names(self) -> list[str]:
        return [self.name(memory) for memory in self.capacity]

    def member(self, program: str, buffer: Buffer) -> str:
        """The member of a transient buffer; buffers of one role at one place share it.

        It has the name of the only buffer that is there, or as much of it as all have in common.
        """
        assert buffer.offset is not None
        key = _shared(buffer)
        users = self.users.get((program, buffer.memory, key), {buffer.name})
        roles = {role(user) for user in users}
        wish = identifier(buffer.name) if len(users) == 1 else roles.pop() if len(roles) == 1 else short(buffer.name)
        name = self.members[program, buffer.memory].of(key, wish)
        pad = f"unsigned char at[{buffer.offset}]; " if buffer.offset else ""
        text = f"struct {{ {pad}{buffer.dtype.ctype} v[{max(1, buffer.elements)}]; }} {name};"
        self.lines[program, buffer.memory][buffer.offset, name] = text
        arena = self.name(buffer.memory)
        return f"{arena}.{name}.v" if len(self.programs) == 1 else f"{arena}.{identifier(program)}.{name}.v"

    def text(self) -> str:
        """The declarations."""
        return "\n\n".join(text for memory in self.capacity if (text := self._union(memory)))

    def _union(self, memory: str) -> str:
        """The union of all members of a memory; with several entries, a union of their unions."""
        lines = {p: [text for _, text in sorted(self.lines[p, memory].items())] for p in self.programs}
        body = []
        for program, members in lines.items():
            if not members:
                continue
            if len(self.programs) == 1:
                body += [INDENT + text for text in members]
            else:
                inner = [INDENT * 2 + text for text in members]
                body += [f"{INDENT}union {{", *inner, f"{INDENT}}} {identifier(program)};"]
        if not body:
            return ""
        body.append(f"{INDENT}unsigned char all[{self.capacity[memory]}];")
        return "static union {\n" + "\n".join(body) + f"\n}} {self.name(memory)}{self.attribute};"


def _shared(buffer: Buffer) -> Hashable:
    """Equal for buffers of one role at one place."""
    return short(buffer.name), buffer.offset, buffer.dtype, buffer.elements
