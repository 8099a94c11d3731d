"""Four bits where the loss allows it: the budget holds, and what cannot be asked for is refused."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from tests.llamas import SHAPES, checkpoint, vocabulary
from tilewright.errors import UserError
from tilewright.options import parse
from tilewright.quant.calibrate import CalibrationText
from tilewright.quant.lower import Recipe, recipe_of
from tilewright.quant.mixed import narrowed, settled

WEIGHTS = {"a": 100, "b": 100, "c": 1000, "d": 10}
COSTS = {"a": 0.01, "b": 0.05, "c": 0.3, "d": 0.02}


def loss(kinds: Collection[str]) -> float:
    return 1.0 + sum(COSTS[kind] for kind in kinds)


@pytest.mark.parametrize(
    ("limit", "chosen"), [(0.9, ""), (1.0, ""), (1.04, "ad"), (1.07, "ab"), (1.31, "ac"), (2.0, "acbd")]
)
def test_the_loss_stays_within_the_limit(limit: float, chosen: str) -> None:
    found = narrowed(WEIGHTS, loss, limit)
    assert sorted(found) == sorted(chosen)
    assert not found or loss(found) <= limit


def test_a_budget_decides_the_bits() -> None:
    made, text = checkpoint(SHAPES[1]), CalibrationText.read()
    generous = settled(made, vocabulary(), Recipe("mixed", text, budget=10.0))
    assert (generous.wide, generous.budget, generous.bits("blocks.0.down")) == (frozenset(), None, 4)
    plain = Recipe("w4a8", text)
    assert settled(made, vocabulary(), plain) is plain


def test_budgets_are_of_mixed() -> None:
    assert recipe_of("mixed", parse(["budget=3%"])).budget == pytest.approx(0.03)
    assert recipe_of("mixed", parse([])).budget == pytest.approx(0.02)
    with pytest.raises(UserError, match="no budget"):
        recipe_of("int8", parse(["budget=3"]))
    with pytest.raises(UserError, match="cannot be"):
        parse(["budget=-1"])
