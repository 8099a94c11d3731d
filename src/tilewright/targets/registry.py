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
    from .base import Built, Runner


def _host() -> Target:
    from .host.target import HOST

    return HOST


def _siracusa() -> Target:
    from .siracusa.target import SIRACUSA

    return SIRACUSA


def _host_build(folder: Path) -> Built:
    from .host.build import build

    return build(folder)


def _host_runner(folder: Path, timing: str) -> Runner:
    from .host.runner import HostRunner

    return HostRunner(folder)


def _siracusa_build(folder: Path) -> Built:
    from .siracusa.build import build

    return build(folder)


def _siracusa_runner(folder: Path, timing: str) -> Runner:
    from .siracusa.runner import SiracusaRunner

    return SiracusaRunner(folder, timing)


TARGETS: dict[str, Callable[[], Target]] = {"host": _host, "siracusa": _siracusa}
BUILDERS: dict[str, Callable[[Path], Built]] = {"host": _host_build, "siracusa": _siracusa_build}
RUNNERS: dict[str, Callable[[Path, str], Runner]] = {"host": _host_runner, "siracusa": _siracusa_runner}


def known(name: str) -> str:
    """The name, if a target has it. UserError with the names there are otherwise."""
    if name not in TARGETS:
        raise UserError(f"no target named {name!r}", hint=f"targets are {', '.join(TARGETS)}")
    return name


def builder(name: str) -> Callable[[Path], Built]:
    """What builds a compiled folder for a target."""
    return BUILDERS[known(name)]


def runner(name: str, folder: Path, timing: str = "chip") -> Runner:
    """A compiled folder, built and ready to run on its target; `timing` is the model of a simulated chip."""
    return RUNNERS[known(name)](folder, timing)


def find(name: str, options: Options | None = None) -> Target:
    """A target by name, its memories limited as the options say."""
    target = TARGETS[known(name)]()
    limits = {"ram": options.ram, "l1": options.l1} if options else {}
    memories = tuple(
        replace(m, bytes=min(limit, m.bytes or limit)) if (limit := limits.get(m.name)) else m for m in target.memories
    )
    return replace(target, memories=memories)
