"""The targets there are, by name; each is imported only when asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..errors import UserError
from ..options import Options
from .base import Target


def _host() -> Target:
    from .host.target import HOST

    return HOST


TARGETS: dict[str, Callable[[], Target]] = {"host": _host}


def find(name: str, options: Options | None = None) -> Target:
    """A target by name, its memories limited as the options say."""
    if name not in TARGETS:
        raise UserError(f"no target named {name!r}", hint=f"targets are {', '.join(TARGETS)}")
    target = TARGETS[name]()
    limits = {"ram": options.ram, "l1": options.l1} if options else {}
    memories = tuple(
        replace(m, bytes=min(limit, m.bytes or limit)) if (limit := limits.get(m.name)) else m for m in target.memories
    )
    return replace(target, memories=memories)
