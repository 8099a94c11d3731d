"""Attention by tables of rows with masks of their own: exact against its definition, and about as fast as it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.targets.siracusa.test_decoder import BYTES, WORDS, case_of, check
from tilewright.ir.types import I8, TensorType
from tilewright.ops import IntegerAttention
from tilewright.ops.integer_attention import largest_exponential
from tilewright.targets.siracusa.attention_rows import ATTENTION_ROWS, TWICE_IN_HALVES
from tilewright.targets.siracusa.bench import Case
from tilewright.targets.siracusa.decoder import sums_of_few_bits

PAIRS, ROWS = ATTENTION_ROWS


def pairs(tokens: int, seen: int, heads: int, rng: np.random.Generator, **fixed: Any) -> Case:
    """A call that goes by pairs of heads: any multipliers of rounded products, scores before the mask of 7 bits."""
    scale, join = rng.integers(-64, 64, 256), rng.integers(-128, 128, 512)
    hide = rng.integers(-128, 128, 256)
    most = min((1 << 16) - 1, (1 << 19) // seen)
    falls = np.sort(rng.integers(0, most, 256))[::-1] >> rng.integers(16)
    falls[1:] = rng.permutation(falls[1:]) if rng.random() < 0.3 else falls[1:]
    falls[0] = max(falls[0], 1)
    mul, mul_out = 2 * rng.integers(128, 1 << 12) + 1, rng.integers(256, min(1 << 15, 120_000 // seen))
    told = {"numbers": (mul, 1 << 15, mul_out, 1 << 15), "exp": falls, "scale": scale,
            "hide": hide, "join": join, "plain": join[scale + hide[0] + 256]}  # fmt: skip
    case = replace(attend(tokens, seen, 2 * heads, rng, **(told | fixed)), kernel=PAIRS)
    assert PAIRS.misfit(case.node) is None
    return case


def attend(tokens: int, seen: int, heads: int, rng: np.random.Generator, **fixed: Any) -> Case:
    """Random tables; what zeros of the mask give is what join gives for them."""
    q, cache = TensorType((tokens, 4 * heads), I8), TensorType((seen, 4 * heads), I8)
    mask = TensorType((int(rng.choice([1, tokens])), seen), I8)
    scale, hide, join = (rng.integers(-128, 128, n, np.int8) for n in (256, 256, 512))
    told: dict[str, Any] = {
        "numbers": (int(rng.integers(1, 900)), 1 << 15, int(rng.integers(1, 60)), 1 << 15),
        "exp": np.sort(rng.integers(0, min(10_000, largest_exponential(256, seen)), 256))[::-1],
        "scale": scale, "hide": hide, "join": join,
        "plain": join[scale.astype(np.int64) + hide[0] + 256],
    }  # fmt: skip
    types = [q, cache, cache, BYTES, WORDS, BYTES, TensorType((4,), WORDS.dtype), mask, BYTES, BYTES]
    return case_of(
        ROWS, IntegerAttention(heads, heads, 16, 16), [*types, TensorType((512,), I8)], rng, **(told | fixed)
    )


@pytest.mark.parametrize("cores", [1, 8])
def test_random_instances_are_exact(cores: int) -> None:
    rng = np.random.default_rng(cores)
    sizes = [[int(rng.integers(low, high)) for low, high in ((2, 12), (1, 80), (1, 20))] for _ in range(25)]
    check([attend(*size, rng) for size in [*sizes, [3, 300, 3], [2, 1, 1]]], cores)


@pytest.mark.parametrize("cores", [1, 8])
def test_random_pairs_are_exact(cores: int) -> None:
    rng = np.random.default_rng(cores)
    sizes = [[int(rng.integers(low, high)) for low, high in ((2, 12), (1, 80), (1, 10))] for _ in range(25)]
    check([pairs(*size, rng) for size in [*sizes, [3, 300, 3], [2, 1, 1], [8, 8, 8], [2, 3, 2]]], cores)


@pytest.mark.parametrize("first", [1, 2, 1023, 1448, 1449, 16_383, 32_768, 65_535])
def test_quotients_of_pairs_by_any_sum_are_exact(first: int) -> None:
    """Sums as large as reciprocals of one and of two divisions allow, and sums of nothing but the greatest"""
    rng = np.random.default_rng(first)
    exp = np.append(first, rng.integers(0, first + 1, 255))
    check([pairs(4, 8, 4, rng, exp=e) for e in (exp, [first] * 256, [first] + [0] * 255)])


def test_one_division_gives_the_digits_of_few_bits() -> None:
    """What tw_short_reciprocal says: e r >> 39 is 255 e / sum, at random and where quotients step."""
    rng, few = np.random.default_rng(2), 0
    for _ in range(500):
        first, seen = int(np.exp2(rng.uniform(0, 12))), int(rng.integers(1, 100))
        if not sums_of_few_bits(pairs(2, seen, 1, rng, exp=[first] + [0] * 255).node):
            assert first**2 * seen >= 1 << 24
            continue
        few, raised, total = few + 1, 16 - first.bit_length(), int(rng.integers(first, first * seen + 1))
        fewer = max(0, min(8 + (seen - 1).bit_length() - raised, raised))
        r = ((255 << 24) // (total << raised - fewer) + 1) << 15 - fewer
        edges = -(-np.arange(256) * total // 255)
        e = np.concatenate([rng.integers(0, first + 1, 20), edges, edges - 1])
        e = e[(e >= 0) & (e <= first)]
        assert r < 1 << 32
        np.testing.assert_array_equal((e << raised) * r >> 39, 255 * e // total)
    assert few > 100


def test_twice_in_halves_is_undone_exactly() -> None:
    table = np.arange(-256, 256).astype(np.int8)
    packed = TWICE_IN_HALVES.pack(table)
    np.testing.assert_array_equal(packed.view(np.int16), 2 * table.astype(np.int16))
    np.testing.assert_array_equal(TWICE_IN_HALVES.unpack(packed, (512,)), table)


@pytest.mark.parametrize("exp", [[0] * 256, [1] + [0] * 255, [30_000_000] * 256, [0] * 255 + [7]])
def test_sums_of_any_size(exp: list[int]) -> None:
    rng = np.random.default_rng(3)
    check([attend(3, seen, 5, rng, exp=exp) for seen in (1, 8, 9)])


def test_masks_whose_zeros_differ_are_left_to_the_general_row() -> None:
    case = attend(4, 8, 4, np.random.default_rng(0))
    assert ROWS.misfit(case.node) is None
    plain = case.node.operands["plain"].data
    assert plain is not None
    plain[3] ^= 1
    assert ROWS.misfit(case.node) == "No mask, or one whose zeros give what its other numbers give by constant tables"


@pytest.mark.parametrize("first", [900, 5000])
@pytest.mark.parametrize(("tokens", "seen", "heads"), [(8, 8, 8), (8, 64, 8), (32, 32, 4), (16, 10, 3), (8, 90, 8)])
def test_cycles_of_pairs_are_as_predicted(first: int, tokens: int, seen: int, heads: int) -> None:
    case = pairs(tokens, seen, heads, np.random.default_rng(1), exp=np.floor(first * 0.94 ** np.arange(256)))
    cycles = sorted(outcome.cycles for outcome in check([case] * 3))[1]
    print(first, tokens, seen, heads, cycles, PAIRS.cycles(case.node))
    assert cycles == pytest.approx(PAIRS.cycles(case.node), rel=0.1)


@pytest.mark.parametrize(("tokens", "seen", "heads"), [(8, 8, 16), (8, 64, 16), (32, 32, 8), (16, 10, 3), (8, 300, 16)])
def test_cycles_are_as_predicted(tokens: int, seen: int, heads: int) -> None:
    case = attend(tokens, seen, heads, np.random.default_rng(1))
    cycles = sorted(outcome.cycles for outcome in check([case] * 3))[1]
    assert cycles == pytest.approx(ROWS.cycles(case.node), rel=0.1)
