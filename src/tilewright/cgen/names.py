"""C identifiers for the model's own names."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable

_RESERVED = frozenset(
    """auto break case char const continue default do double else enum extern float for goto if inline int long
    register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
    main arena block i""".split()  # noqa: SIM905 (a table of words reads best as words)
)


def identifier(text: str) -> str:
    """The text as a C identifier of at most 48 characters."""
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")[:48] or "x"
    if name in _RESERVED:
        return f"{name}_"
    return f"n{name}" if name[0].isdigit() else name


def short(text: str) -> str:
    """The last part of a dotted or slashed name: `blocks.3.wq` -> `wq`."""
    parts = [p for p in re.split(r"[./:]+", text) if p and not p.isdigit()]
    return identifier(parts[-1] if parts else text)


def role(text: str) -> str:
    """As `short`, with the node whose own buffer it is: `blocks.3.gate.constants` -> `gate_constants`."""
    owner, _, part = text.rpartition(".")
    return identifier(f"{short(owner)}_{part}") if owner and part in ("constants", "scratch") else short(text)


class Names:
    """Gives each key one name; a name that is taken gets a number."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._by_key: dict[Hashable, str] = {}
        self._taken: set[str] = set(taken)

    def of(self, key: Hashable, wish: str) -> str:
        if key not in self._by_key:
            name, number = wish, 2
            while name in self._taken:
                name, number = f"{wish}_{number}", number + 1
            self._taken.add(name)
            self._by_key[key] = name
        return self._by_key[key]
