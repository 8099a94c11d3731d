"""Access maps and symbolic dimensions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewright.ir.domain import Axis, Domain
from tilewright.ir.types import I8, Dim, Expr, Sym, TensorType, maximum, nominal, resolve, substitute
from tilewright.ops import QuantisedAttention

N, POS = Sym("n", 16, 1), Sym("pos", 255, 128)


@pytest.mark.parametrize(
    ("text", "ranges", "interval"),
    [
        ("oy*2+ky-1", {"oy": (0, 3), "ky": (0, 3)}, (-1, 6)),
        ("2*oy + ky", {"oy": (1, 2), "ky": (0, 1)}, (2, 3)),
        ("h/4", {"h": (4, 9)}, (1, 3)),
        ("-x+7", {"x": (2, 5)}, (3, 6)),
        ("3", {}, (3, 4)),
    ],
)
def test_interval(text: str, ranges: dict[str, tuple[int, int]], interval: tuple[int, int]) -> None:
    assert Axis.parse(text).interval(ranges) == interval


@pytest.mark.parametrize("text", ["", "a**2", "a+", "*a", "a/b", "(a)"])
def test_what_is_not_an_access_map_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Axis.parse(text)


@given(st.integers(-4, 4), st.integers(-3, 3), st.integers(1, 5), st.integers(0, 9), st.integers(0, 9))
def test_interval_is_the_hull_of_the_points(a: int, b: int, div: int, x: int, y: int) -> None:
    axis = Axis((("x", a), ("y", b)), 2, div)
    ranges = {"x": (min(x, 5), 6 + x), "y": (y, y + 3)}
    points = [(2 + a * i + b * j) // div for i in range(*ranges["x"]) for j in range(*ranges["y"])]
    assert axis.interval(ranges) == (min(points), max(points) + 1)


def test_macs_and_extents() -> None:
    conv = Domain.of("oy co | ky ci", {"x": "oy*2+ky, ci", "w": "co, ky, ci", "y": "oy, co"})
    shapes: dict[str, tuple[Dim, ...]] = {"x": (9, 4), "w": (8, 3, 4), "y": (4, 8)}
    assert conv.macs(shapes) == 4 * 8 * 3 * 4
    assert conv.footprint("x", {"oy": (1, 3), "ky": (0, 3), "ci": (0, 4)}, (9, 4)) == ((2, 7), (0, 4))
    with pytest.raises(ValueError, match="ky"):
        Domain.of("oy | ky", {"y": "oy"}).extents({"y": (4,)})


@given(st.integers(-5, 5), st.integers(0, 5), st.integers(0, 16), st.integers(0, 255))
def test_expressions_are_affine(const: int, factor: int, n: int, pos: int) -> None:
    expression = (N * factor + POS + const) - N
    env = {"n": n, "pos": pos}
    assert resolve(expression, env) == n * factor + pos + const - n
    partly = substitute(expression, {"pos": pos})
    assert resolve(partly, {"n": n}) == resolve(expression, env)
    assert isinstance(substitute(expression, env), int)
    assert nominal(N + POS) == 129
    assert maximum(N + POS) == 271
    assert Expr.of(5).simplified() == 5


def test_a_sym_may_take_the_place_of_another() -> None:
    few, rest = Sym("n", 4, 1), Sym("n_rest", 12, 0, "n", 4)
    assert maximum(substitute(N * 2 + POS, {"n": few})) == 8 + 255
    assert substitute(rest + 1, {"n": few}) == rest + 1  # what lies beyond stays, until the number is known
    assert substitute(rest + 1, {"n": 6}) == 3


def test_products_of_grouped_attention_are_counted_once() -> None:
    """Every query head meets every cached row once for its score and once for its mixture."""
    shapes = {"q": (1, 64), "k": (256, 32), "v": (256, 32), "mul": (4,), "out": (4,), "table": (256,), "y": (1, 64)}
    types = [TensorType(shapes[n], I8) for n in ("q", "k", "v", "mul", "out", "table", "y")]
    domain = QuantisedAttention(4, 2, 14, 22, pos=9).domain(*types)
    assert domain.macs(shapes) == 2 * 64 * 10
