"""`tilewright targets`: what there is to compile for."""

from __future__ import annotations

import click

from ..output import Outcome
from .common import json_option, table


@click.command()
@json_option
@click.pass_obj
def targets(outcome: Outcome) -> None:
    """List what Tilewright compiles for."""
    from ..targets.registry import TARGETS

    found = [make() for make in TARGETS.values()]
    outcome.add(
        targets=[
            {
                "name": t.name,
                "description": t.description,
                "memories": [{"name": m.name, "bytes": m.bytes, "holds": m.holds} for m in t.memories],
                "engines": [{"name": e.name, "cores": e.cores, "clock_mhz": e.clock_mhz} for e in t.engines],
                "kernels": len(t.kernels),
            }
            for t in found
        ]
    )
    click.echo(table([(t.name, t.description) for t in found]))
