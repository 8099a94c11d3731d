"""The targets there are, by name; each is imported only when asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..options import Options
from . import host, siracusa

if TYPE_CHECKING:
    from .base import Built, Runner, Story, Storyteller, Target


def _host() -> Target:
    from .host.target import HOST

    return HOST


def _siracusa() -> Target:
    from .siracusa.target import SIRACUSA

    return SIRACUSA


def _host_build(folder: Path) -> Built:
    from .host.build import build

    return build(folder)


def _host_runner(folder: Path, timing: str) -> Runner:  # noqa: ARG001 (nothing is simulated)
    from .host.runner import HostRunner

    return HostRunner(folder)


def _siracusa_build(folder: Path) -> Built:
    from .siracusa.build import build

    return build(folder)


def _siracusa_runner(folder: Path, timing: str) -> Runner:
    from .siracusa.runner import SiracusaRunner

    return SiracusaRunner(folder, timing)


def _host_story(folder: Path, story: Story, timing: str) -> Storyteller:  # noqa: ARG001 (nothing is simulated)
    from .host.story import HostStoryteller

    return HostStoryteller(folder, story)


def _siracusa_story(folder: Path, story: Story, timing: str) -> Storyteller:
    from .siracusa.story import SiracusaStoryteller

    return SiracusaStoryteller(folder, story, timing)


DESCRIPTIONS = {"host": host.DESCRIPTION, "siracusa": siracusa.DESCRIPTION}
TARGETS: dict[str, Callable[[], Target]] = {"host": _host, "siracusa": _siracusa}
BUILDERS: dict[str, Callable[[Path], Built]] = {"host": _host_build, "siracusa": _siracusa_build}
RUNNERS: dict[str, Callable[[Path, str], Runner]] = {"host": _host_runner, "siracusa": _siracusa_runner}
STORYTELLERS: dict[str, Callable[[Path, Story, str], Storyteller]] = {
    "host": _host_story,
    "siracusa": _siracusa_story,
}


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


def storyteller(name: str, folder: Path, story: Story, timing: str = "chip") -> Storyteller:
    """A compiled language model, built and ready to write a story on its target."""
    return STORYTELLERS[known(name)](folder, story, timing)


def find(name: str, options: Options | None = None) -> Target:
    """A target by name, its memories limited as the options say, its accelerators there or not."""
    target = TARGETS[known(name)]()
    if options is not None and options.npu == "off":
        engines = tuple(engine for engine in target.engines if not engine.asynchronous)
        names = {engine.name for engine in engines}
        target = replace(target, engines=engines, kernels=tuple(k for k in target.kernels if k.engine in names))
    limits = {"ram": options.ram, "l1": options.l1} if options else {}
    memories = tuple(
        replace(m, bytes=min(limit, m.bytes or limit)) if (limit := limits.get(m.name)) else m for m in target.memories
    )
    return replace(target, memories=memories)
