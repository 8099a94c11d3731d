"""The targets there are, by name; each is imported only when asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..options import Options
from .base import Target

if TYPE_CHECKING:
    from .base import Runner
    from .host.build import Built


def _host() -> Target:
    from .host.target import HOST

    return HOST


def _host_build(folder: Path) -> Built:
    from .host.build import build

    return build(folder)


def _host_runner(folder: Path) -> Runner:
    from .host.runner import HostRunner

    return HostRunner(folder)


TARGETS: dict[str, Callable[[], Target]] = {"host": _host}
BUILDERS: dict[str, Callable[[Path], Built]] = {"host": _host_build}
RUNNERS: dict[str, Callable[[Path], Runner]] = {"host": _host_runner}


def known(name: str) -> str:
    """The name, if a target has it. UserError with the names there are otherwise."""
    if name not in TARGETS:
        raise UserError(f"no target named {name!r}", hint=f"targets are {', '.join(TARGETS)}")
    return name


def builder(name: str) -> Callable[[Path], Built]:
    """What builds a compiled folder for a target."""
    return BUILDERS[known(name)]


def runner(name: str, folder: Path) -> Runner:
    """A compiled folder, built and ready to run on its target."""
    return RUNNERS[known(name)](folder)


def find(name: str, options: Options | None = None) -> Target:
    """A target by name, its memories limited as the options say."""
    target = TARGETS[known(name)]()
    limits = {"ram": options.ram, "l1": options.l1} if options else {}
    memories = tuple(
        replace(m, bytes=min(limit, m.bytes or limit)) if (limit := limits.get(m.name)) else m for m in target.memories
    )
    return replace(target, memories=memories)
