"""The geometry that operators declare is the geometry that they have."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import tilewright.ops  # noqa: F401  (registers the operators)
from tests.instances import agree, expected, op_instances
from tests.ops.tiling import compute_tiled, cuts, extents
from tilewright.errors import UserError
from tilewright.ir.domain import Axis, Domain
from tilewright.ir.graph import Node
from tilewright.ir.op import REGISTRY, Op

every_operator = pytest.mark.parametrize("op_class", REGISTRY.values(), ids=REGISTRY.keys())


@every_operator
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_tiling_equals_the_whole(op_class: type[Op], data: st.DataObject) -> None:
    node, arrays = data.draw(op_instances(op_class))
    places = data.draw(cuts(node))
    got = compute_tiled(node, arrays, places, node.op.domain(*node.types))
    for name, want in expected(node, arrays).items():
        assert agree(got[name], want, tolerance=1e-5), name


Mutation = tuple[str, int, str]  # operand, axis, what was changed
ENOUGH = 12  # instances in which a mistake must show; rarer ones have not had their chance


def mutations(node: Node) -> Iterator[tuple[Mutation, Domain]]:
    """The domain with one access map wrong: shifted by one either way, or one coefficient too small."""
    domain = node.op.domain(*node.types)
    sizes = extents(node, domain)
    for operand, axes in domain.access.items():
        for i, axis in enumerate(axes):
            for change, wrong in _wrong_axes(axis, sizes):
                maps = {**domain.access, operand: (*axes[:i], wrong, *axes[i + 1 :])}
                yield (operand, i, change), dataclasses.replace(domain, access=maps)


def _wrong_axes(axis: Axis, sizes: Mapping[str, int]) -> Iterator[tuple[str, Axis]]:
    if axis.whole or not axis.terms:
        return
    yield "shifted up", dataclasses.replace(axis, offset=axis.offset + 1)
    yield "shifted down", dataclasses.replace(axis, offset=axis.offset - 1)
    for i, (name, coefficient) in enumerate(axis.terms):
        if sizes[name] > 1:
            terms = (*axis.terms[:i], (name, coefficient - 1), *axis.terms[i + 1 :])
            yield f"{name} too slow", dataclasses.replace(axis, terms=terms)


@every_operator
def test_wrong_access_maps_are_caught(op_class: type[Op]) -> None:
    """Every single mistake in the geometry shows in some instance: the tiles fail, or give other values."""
    caught: dict[Mutation, bool] = {}
    tried: Counter[Mutation] = Counter()
    divisible = False

    @seed(0)
    @settings(
        max_examples=120, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(data=st.data())
    def collect(data: st.DataObject) -> None:
        nonlocal divisible
        node, arrays = data.draw(op_instances(op_class))
        places = data.draw(cuts(node))
        divisible = divisible or bool(places)
        want = expected(node, arrays)
        for mutation, wrong in mutations(node):
            if not caught.get(mutation):
                tried[mutation] += 1
                try:
                    got = compute_tiled(node, arrays, places, wrong)
                    caught[mutation] = not all(agree(got[name], want[name], 1e-5) for name in want)
                except (UserError, ValueError, IndexError):
                    caught[mutation] = True

    collect()
    assert bool(caught) == divisible, "an operator that can be cut says where its tiles lie"
    assert [mutation for mutation, hit in caught.items() if not hit and tried[mutation] >= ENOUGH] == []
