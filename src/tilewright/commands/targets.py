"""`tilewright targets`: what there is to compile for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..output import Outcome
from .common import json_option, table

if TYPE_CHECKING:
    from ..targets.base import Target


@click.command()
@json_option
@click.pass_obj
def targets(outcome: Outcome) -> None:
    """List what Tilewright compiles for."""
    from ..targets.registry import DESCRIPTIONS, TARGETS

    if outcome.file is not None:  # what is in a target takes time to make
        outcome.add(targets=[_told(make()) for make in TARGETS.values()])
    click.echo(table([*DESCRIPTIONS.items()]))


def _told(target: Target) -> dict[str, Any]:
    return {
        "name": target.name,
        "description": target.description,
        "memories": [{"name": m.name, "bytes": m.bytes, "holds": m.holds} for m in target.memories],
        "engines": [{"name": e.name, "cores": e.cores, "clock_mhz": e.clock_mhz} for e in target.engines],
        "kernels": len(target.kernels),
    }
