"""Angles of several tokens, brought near once."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.interp.graph import run
from tilewright.ir.graph import Builder, Graph
from tilewright.ir.types import I16, I32, TensorType, const
from tilewright.ops import QuantisedRoPE, RowsAt
from tilewright.options import Options
from tilewright.passes.angles import angles
from tilewright.targets.registry import find


def network(rows: int, positions: int = 40) -> Graph:
    b, rng = Builder("run"), np.random.default_rng(rows)
    table = const("rope", rng.integers(-16384, 16385, (positions, 16), np.int16))
    q, k = b.input("q", TensorType((rows, 64), I32)), b.input("k", TensorType((rows, 32), I16))
    return b.finish((b(QuantisedRoPE(4, 20, 5), q, table), b(QuantisedRoPE(2, 20, 5), k, table)))


def count(graph: Graph, kind: type) -> int:
    return sum(isinstance(node.op, kind) for node in graph.nodes)


@pytest.mark.parametrize(("target", "rows", "found"), [("siracusa", 7, 1), ("siracusa", 1, 0), ("host", 7, 0)])
def test_layers_share_the_rows_that_they_need(target: str, rows: int, found: int) -> None:
    graph, rng = network(rows), np.random.default_rng(1)
    near = angles(graph, find(target, Options()))
    assert (count(near, RowsAt), count(near, QuantisedRoPE)) == (found, 2)
    arrays = {
        "q": rng.integers(-60000, 60000, (rows, 64), np.int32), "k": rng.integers(-30000, 30000, (rows, 32), np.int16),
    }  # fmt: skip
    for name, want in run(graph, arrays).items():
        np.testing.assert_array_equal(run(near, arrays)[name], want)


def test_a_table_of_which_all_is_needed_stays() -> None:
    assert count(angles(network(7, positions=12), find("siracusa", Options())), RowsAt) == 1
    assert count(angles(network(7, positions=7), find("siracusa", Options())), RowsAt) == 0
