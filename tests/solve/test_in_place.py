"""Results that take the place of an operand: only where the node reads it as nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tilewright.ir.graph import Builder, Graph
from tilewright.ir.plan import EntryPlan
from tilewright.ir.types import F32, TensorType, const
from tilewright.ops import ResidualConv2D
from tilewright.solve.check import PlanError, check
from tilewright.solve.plan import solve
from tilewright.targets.registry import find

HOST = find("host")


def residuals(own: bool, layers: int = 4) -> Graph:
    """3x3 convolutions, each with a residual: its own input, or what the one before read."""
    b = Builder("run")
    x = before = b.input("x", TensorType((1, 5, 6, 4), F32))
    for i in range(layers):
        w = const(f"w{i}", np.ones((4, 3, 3, 4), np.float32))
        y = b(ResidualConv2D(pad=(1, 1, 1, 1)), x, w, None, None, None, x if own else before, name=f"y{i}")
        x, before = y, x
    return b.finish((x,))


def places(entry: EntryPlan) -> dict[str, str | None]:
    return {value.name: home.block for value, home in entry.homes.items()}


@pytest.mark.parametrize("target", ["host", "siracusa"])
def test_a_result_takes_the_place_of_what_ends_but_of_no_input(target: str) -> None:
    (entry,) = solve((residuals(own=True),), find(target)).entries
    assert len({places(entry)[name] for name in ("y0", "y1", "y2")} - {None}) == 3
    (entry,) = solve((residuals(own=False),), find(target)).entries
    assert places(entry)["y2"] == places(entry)["y0"] is not None


def test_a_plan_that_overwrites_an_input_is_caught() -> None:
    plan = solve((residuals(own=True, layers=3),), HOST)
    (entry,) = plan.entries
    first, second = (next(v for v in entry.homes if v.name == name) for name in ("y0", "y1"))
    homes = {**entry.homes, second: entry.homes[first]}
    blocks = tuple(replace(block, last=2) for block in entry.blocks if block.name == "y0")
    with pytest.raises(PlanError, match="overwrites its operand x"):
        check(replace(plan, entries=(replace(entry, homes=homes, blocks=blocks),)), HOST)
