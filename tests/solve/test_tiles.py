"""Tiles that keep to their operands: any of them, computed alone and stitched together, are the whole."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.instances import agree, expected, input_names, node_of, op_instances
from tilewright.ir.domain import Box
from tilewright.ir.op import REGISTRY, Op, RuleError, result_names
from tilewright.ir.types import F32, Array, Sym, TensorType
from tilewright.ops import Attention
from tilewright.solve.tiles import Piece, Tiling, contiguous, cuttable, first_element


def _slices(box: Box) -> tuple[slice, ...]:
    return tuple(slice(low, high) for low, high in box)


@pytest.mark.parametrize("op_class", REGISTRY.values(), ids=REGISTRY.keys())
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_pieces_are_the_whole(op_class: type[Op], data: st.DataObject) -> None:
    node, arrays = data.draw(op_instances(op_class))
    results = result_names(node.op, len(node.outputs))
    if node.op.view or node.op.aliases:
        return
    dims = cuttable(node)
    chosen = data.draw(st.permutations(dims)) if dims else []
    sizes = Tiling(node, ()).extents
    tile = tuple((name, data.draw(st.integers(1, int(sizes[name])))) for name in chosen[:2])  # type: ignore[arg-type]
    tiling = Tiling(node, tile)
    whole = expected(node, arrays)
    got = {name: np.zeros_like(array) for name, array in whole.items()}
    times = {name: np.zeros(array.shape, int) for name, array in whole.items()}
    try:
        pieces = tiling.pieces
    except RuleError:
        assert len(tile) > 0, "the whole is always a piece"
        return
    assert len(pieces) == len(tiling)
    for piece in pieces:
        cut: dict[str, Array] = {n: arrays[n][_slices(piece.boxes[n])] for n in input_names(node)}
        for name, array in expected(piece.node, cut).items():
            got[name][_slices(piece.boxes[name])] = array
            times[name][_slices(piece.boxes[name])] += 1
    for name in results:
        assert agree(got[name], whole[name], tolerance=1e-5), name
        assert (times[name] == 1).all(), f"{name} is not written once"


@given(st.data())
def test_contiguous_boxes_are_runs(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    box = []
    for size in shape:
        low = data.draw(st.integers(0, size - 1))
        box.append((low, data.draw(st.integers(low + 1, size))))
    index = np.arange(np.prod(shape)).reshape(shape)[_slices(tuple(box))].reshape(-1)
    assert first_element(tuple(box), shape) == index[0]
    assert contiguous(tuple(box), shape) == bool((np.diff(index) == 1).all())


@pytest.mark.parametrize("op_class", REGISTRY.values(), ids=REGISTRY.keys())
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_kinds_are_the_shapes_of_all_pieces(op_class: type[Op], data: st.DataObject) -> None:
    node, _ = data.draw(op_instances(op_class))
    if node.op.view or node.op.aliases:
        return
    dims, sizes = cuttable(node), Tiling(node, ()).extents
    chosen = data.draw(st.permutations(dims))[:2] if dims else []
    tiling = Tiling(node, tuple((name, data.draw(st.integers(1, int(sizes[name])))) for name in chosen))  # type: ignore[arg-type]

    def shapes(piece: Piece) -> tuple[object, ...]:
        return tuple(value.type.shape for value in piece.node.operands.values())

    try:
        wanted = Counter(map(shapes, tiling.pieces))
    except RuleError:
        return
    found: Counter[object] = Counter()
    for count, piece in tiling.kinds():
        found[shapes(piece)] += count
    assert found == wanted


def test_heads_are_cut_where_run_time_sizes_together_exceed_the_cache() -> None:
    """A prompt's rows and its position have maxima that never come together."""
    pos, n = Sym("pos", 31, 8), Sym("n", 8, 1)
    types = [TensorType(s, F32) for s in ((n, 16), (32, 8), (32, 8))]
    node = node_of(Attention(4, 2, 0.5, pos), *types)
    assert cuttable(node) == ("g",)
