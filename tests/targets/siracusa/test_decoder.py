"""The chip's kernels for QuantLib's decoders: exact against the operators' definitions, on the simulated cluster."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.instances import node_of, random_operands
from tilewright.ir.op import Op
from tilewright.ir.types import I8, I32, Array, Kind, TensorType
from tilewright.ops import EnterHeads, IntegerAttention, IntegerRMSNorm, NewHeads, RotateHeads, TableBinary
from tilewright.ops.integer_attention import largest_exponential
from tilewright.targets.base import Kernel, Packing
from tilewright.targets.siracusa.bench import Case, Outcome, measure
from tilewright.targets.siracusa.decoder import (
    BOUNDED,
    CENTRED,
    DECODER,
    FOURFOLD,
    HALVES,
    MANY,
    REVERSED,
    TWICE,
    bound_of,
    few_positions,
    sums_of_24_bits,
)
from tilewright.targets.siracusa.norm import DOUBLED, ONE_ROW

HALF = np.trunc(np.roll(np.arange(-128, 128), 128) / 2)  # as networks have it: scores are halves of codes
BYTES, WORDS, ONE = TensorType((256,), I8), TensorType((256,), I32), TensorType((1,), I32)
TURN, NEW, ENTER, JOIN, ROW, LONG, ATTEND = DECODER


def expected(case: Case) -> dict[str, Array]:
    names = (name.rstrip("?") for name in type(case.node.op).operands)
    results = case.node.op.reference(*(case.operands.get(name) for name in names))
    return dict(zip(case.node.op.results, results if isinstance(results, tuple) else (results,), strict=True))


def check(cases: list[Case], cores: int = 8) -> list[Outcome]:
    outcomes = measure(cases, cores)
    for case, outcome in zip(cases, outcomes, strict=True):
        for name, want in expected(case).items():
            np.testing.assert_array_equal(outcome.results[name], want, f"{name} of {case.node.op!r}")
    return outcomes


def case_of(kernel: Kernel, op: Op, types: list[TensorType | None], rng: np.random.Generator, **fixed: Any) -> Case:
    """A call with random operands but for those given, which are constants of the node."""
    node = node_of(op, *types)
    arrays = random_operands(node, rng)
    arrays |= {name: np.asarray(v, node.operands[name].type.dtype.numpy) for name, v in fixed.items()}
    inputs = [
        v and replace(v, kind=Kind.CONST, data=arrays[v.name]) if v and v.name in fixed else v for v in node.inputs
    ]
    node = replace(node, inputs=tuple(inputs))
    assert kernel.misfit(node) is None
    return Case(kernel.bound([node]), node, arrays)


def with_row(case: Case) -> list[Case]:
    """The same call of the kernels for a single row that run it."""
    return [replace(case, kernel=kernel) for kernel in (ROW, LONG) if kernel.misfit(case.node) is None]


def turn(tokens: int, heads: int, own: bool, table: bool, rng: np.random.Generator, **fixed: Any) -> Case:
    x, r = TensorType((tokens, 4 * heads), I8), TensorType((tokens if own else 1, 4, 4), I8)
    return case_of(TURN, RotateHeads(heads, 16), [x, r, ONE, ONE, BYTES if table else None], rng, **fixed)


def rotations(rng: np.random.Generator) -> list[int]:
    """Multipliers and addends of queries and keys: such that sums have bounds, or any."""
    usual = [rng.integers(256, 1 << 15), 1 << 15, rng.integers(256, 900), 1 << 15]
    return usual if rng.random() < 0.7 else [*rng.integers(-600, 600, 4)]


USUAL = [507, 1 << 15, 543, 1 << 15]


def new(
    kv: int, group: int, positions: int, pos: int, rng: np.random.Generator, turns: list[int] | None = None
) -> Case:  # fmt: skip
    rows, state = kv * (group + 2) * 4, TensorType((positions, 4 * kv), I8)
    types = [state, state, TensorType((1, 64), I8), TensorType((rows, 64), I8), TensorType((rows,), I32)]
    types += [TensorType((1, 4, 4), I8), BYTES, BYTES, TensorType((5,), I32)]
    fixed = {"w": rng.integers(-128, 128, (rows, 64)), "mul": rng.integers(-300, 300, rows),
             "numbers": [1 << 15, *(turns or rotations(rng))], "table_k": rng.integers(-128, 128, 256),
             "table_v": rng.integers(-128, 128, 256)}  # fmt: skip
    return case_of(NEW, NewHeads(kv * group, kv, pos, 16, 16, 16), list(types), rng, **fixed)


def enter(
    kv: int, group: int, positions: int, pos: int, rng: np.random.Generator, turns: list[int] | None = None
) -> Case:  # fmt: skip
    state, row = TensorType((positions, 4 * kv), I8), TensorType((1, 4 * kv), I8)
    types = [state, state, TensorType((1, 4 * kv * group), I8), row, row, TensorType((1, 4, 4), I8), BYTES, BYTES]
    fixed = {name: rng.integers(-128, 128, 256) for name in ("table_k", "table_v")}
    fixed["numbers"] = np.array(turns or rotations(rng))
    shift = 16 if turns or rng.random() < 0.8 else int(rng.integers(24))
    return case_of(ENTER, EnterHeads(kv * group, kv, pos, shift, shift), [*types, TensorType((4,), I32)], rng, **fixed)


def join(function: str, shape: tuple[int, ...], rng: np.random.Generator, shift: int = 16, **fixed: Any) -> Case:
    kind = TensorType(shape, I8)
    return case_of(JOIN, TableBinary(function, shift), [kind, kind, BYTES, BYTES, ONE, ONE], rng, **fixed)


def attend(seen: int, tokens: int, rng: np.random.Generator, *, kv: int = 16, group: int = 1, hd: int = 4,
           levels: int = 256, mask: Array | None = None, alike: bool = True, **fixed: Any) -> Case:  # fmt: skip
    """Attention as networks have it: scores that spread, exponentials that fall; zeros of masks change no score."""
    cache = TensorType((seen, kv * hd), I8)
    types: list[TensorType | None] = [TensorType((tokens, kv * group * hd), I8), cache, cache, BYTES, WORDS, BYTES]
    types += [TensorType((4,), I32)]
    if mask is not None:
        types += [TensorType(mask.shape, I8), BYTES, BYTES, TensorType((512,), I8)]
    usual = {"numbers": [700, 1 << 15, 60, 1 << 15], "exp": np.floor(900 * 0.94 ** np.arange(256)),
             "plain": HALF if rng.random() < 0.5 else rng.integers(-64, 64, 256)}  # fmt: skip
    if mask is not None and alike:
        scale, hide, join = rng.permutation(256) - 128, rng.integers(-128, 128, 256), rng.integers(-128, 128, 512)
        join[scale + hide[0] + 256] = fixed.get("plain", usual["plain"])
        usual |= {"scale": scale, "hide": hide, "join": join}
    op = IntegerAttention(kv * group, kv, 16, 16, levels)
    case = case_of(ATTEND, op, types, rng, **{**usual, **fixed})
    return case if mask is None else replace(case, operands={**case.operands, "mask": mask})


def usual_row(seen: int, kv: int, group: int, rng: np.random.Generator) -> list[Case]:
    """Attention that the kernels for one row run: any multiplier, tables of 7 bits, any that begins with its most."""
    numbers = [2 * rng.integers(128, 1 << 14) + 1, 1 << 15, *rng.integers(-500, 500, 2)]
    most = min((1 << 16) - 1, (1 << 24) // seen, int(((1 << 38) / seen) ** 0.5))
    falls = np.sort(rng.integers(0, most, 256))[::-1] >> rng.integers(16)
    falls[1:] = rng.permutation(falls[1:]) if rng.random() < 0.3 else falls[1:]
    falls[0] = max(falls[0], 1)
    plain = np.roll(np.sort(rng.integers(-64, 64, 256)), 128) if rng.random() < 0.5 else rng.integers(-64, 64, 256)
    plain = HALF if rng.random() < 0.5 else plain
    group = 1 << group - 1
    kv += kv % 2 if group == 1 else 0
    mask = ((rng.random((1, seen)) < 0.2) * rng.integers(-128, 128, seen)).astype(np.int8)
    cases = with_row(attend(seen, 1, rng, kv=kv, group=group, numbers=numbers, exp=falls, plain=plain,
                            mask=mask if rng.random() < 0.3 else None))  # fmt: skip
    assert (cases[-1].kernel is LONG) == (seen >= 8)
    return cases


@pytest.mark.parametrize("cores", [1, 8])
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_random_instances_are_exact(cores: int, seed: int) -> None:
    rng, cases = np.random.default_rng(seed), []
    for _ in range(6):
        tokens, heads, seen, kv, group = (int(rng.integers(1, n)) for n in (5, 20, 140, 9, 4))
        half = rng.integers(-(1 << 20), 1 << 20, 1)
        cases.append(
            turn(tokens, heads, rng.random() < 0.5, rng.random() < 0.5, rng, mul=[rng.integers(-800, 800)], add=half)
        )
        cases.append(new(kv, group, seen, int(rng.integers(seen)), rng))
        cases.append(enter(kv, group, seen, int(rng.integers(seen)), rng))
        shape, shift = tuple(map(int, rng.integers(1, 9, rng.integers(1, 4)))), int(rng.integers(0, 32))
        cases.append(join("add", shape, rng, shift, mul=rng.integers(-80000, 80000, 1), add=half))
        cases.append(join("mul", shape, rng, shift, mul=rng.integers(-60000, 60000, 1), add=half))
        mask = (rng.random((int(rng.choice([1, tokens])), seen)) < 0.2) * rng.integers(-128, 128, seen)
        top = largest_exponential(256, seen)
        more = {"exp": rng.integers(0, int(rng.integers(1, top + 1)) + 1, 256)} if rng.random() < 0.5 else {}
        hd, levels = int(rng.choice([4, 4, 8, 12])), int(rng.choice([2, 100, 128, 255, 256]))
        cases.append(attend(seen, tokens, rng, kv=kv, group=group, hd=hd, levels=levels, **more,
                            alike=bool(rng.random() < 0.5),
                            mask=mask.astype(np.int8) if rng.random() < 0.7 else None))  # fmt: skip
        cases += usual_row(seen, kv, group, rng)
    check([replace(case, shift=int(rng.integers(0, 4))) for case in cases], cores)


@pytest.mark.parametrize("tokens", [1, 3])
def test_masks_of_zeros_and_of_some(tokens: int) -> None:
    """Rows that nothing masks go another way: each way in one call."""
    rng, cases = np.random.default_rng(3), []
    for seen in (1, 2, 3, 4, 8, 17, 33, 129):
        for some in (0, 1, tokens):
            mask = np.zeros((tokens, seen), np.int8)
            mask[:some, rng.integers(seen)] = -100
            cases.append(attend(seen, tokens, rng, mask=mask))
            cases += with_row(cases[-1])
    check(cases)


@pytest.mark.parametrize("exp", ["falls", "rises"])
def test_few_different_scores(exp: str) -> None:
    """Scores from one number to all of 7 bits, exponentials that vanish soon or late, or that rise."""
    rng, values, cases = np.random.default_rng(5), np.floor(20000 * 0.9 ** np.arange(256)), []
    for seen in (8, 9, 40, 41, MANY - 1, MANY, MANY + 1, 130, 300, 600):
        for spread in (1, 2, 9, 20, 65, 127, 128):
            plain = rng.integers(0, spread, 256) - rng.integers(spread - 64, 65)
            given = {"exp": values if exp == "falls" else values[::-1], "plain": plain}
            cases += [attend(seen, 2, rng, kv=3, group=2, **given), attend(seen, 1, rng, kv=3, group=2, **given)]
            cases += with_row(cases[-1])
    check(cases)


@pytest.mark.parametrize("exp", [[0] * 256, [1] + [0] * 255, [30_000_000] * 256, [0] * 255 + [7]])
def test_sums_of_any_size(exp: list[int]) -> None:
    """No weight at all, one, and sums of 32 bits."""
    check([attend(seen, 2, np.random.default_rng(seen), exp=exp, levels=128) for seen in (1, 5, 140)])


def test_sums_are_clipped_before_they_are_scaled() -> None:
    """What the bound of scores says, over all sums of four products."""
    rng, sums = np.random.default_rng(0), np.arange(-65536, 65537)
    for mul in (*range(300), *rng.integers(256, 1 << 15, 200), (1 << 15) - 1, 1 << 15):
        bound = bound_of(np.array([mul, 1 << 15, 0, 0]))
        assert (bound > 0) == (256 <= mul < 1 << 15 and (255 << 15) % mul > 0), mul
        if bound:
            scaled = (np.clip(sums, -bound - 1, bound) * int(mul) + (1 << 15)) >> 16
            np.testing.assert_array_equal(scaled, np.clip((sums * int(mul) + (1 << 15)) >> 16, -128, 127))
    assert bound_of(np.array([700, 0, 0, 0])) == bound_of(np.array([-700, 1 << 15, 0, 0])) == 0


def test_quotients_need_one_correction_at_most() -> None:
    """What attention_tables.c says of exponentials: e (levels - 1) / total from the upper halves, or one less."""
    rng = np.random.default_rng(0)
    for levels in (2, 3, 128, 255, 256):
        most = levels - 1
        totals = np.concatenate([
            np.arange(1, 3000), 2 ** np.arange(32) // most + 1, (1 << 32) // most - np.arange(1, 50),
            np.exp2(rng.uniform(0, np.log2(((1 << 32) - 1) // most), 20000)).astype(np.int64),
        ])  # fmt: skip
        for total in np.unique(totals[totals * most < 1 << 32]):
            n = 32 - int(total).bit_length()
            r = (most << 22) // ((int(total) << n >> 16) + 1)
            e = np.unique(np.concatenate([np.arange(min(total, 40) + 1), rng.integers(0, total + 1, 40), [total]]))
            edges = np.arange(levels) * int(total) // most  # where quotients step
            e = np.concatenate([e, edges, np.minimum(edges + 1, total)])
            q = (e << n >> 16) * r
            assert r < 1 << 16
            assert q.max() < 1 << 32
            assert np.isin(e * most // total - (q >> 22), (0, 1)).all()


def test_quotients_by_reciprocals_are_exact() -> None:
    """What attention_pairs.c says of them: e r >> 39 is 255 e / sum, at random and where quotients step."""
    rng, found = np.random.default_rng(1), set()
    for _ in range(1000):
        first, seen = int(np.exp2(rng.uniform(0, 16))), int(rng.integers(8, 400))
        node = attend(seen, 1, rng, kv=2, exp=[first] + [0] * 255).node
        raised, total = 16 - first.bit_length(), int(rng.integers(first, first * seen + 1))
        edges = -(-np.arange(256) * total // 255)
        e = np.concatenate([rng.integers(0, first + 1, 20), edges, edges - 1])
        e = e[(e >= 0) & (e <= first)]
        whole, rest = divmod(255 << 23, total << raised)
        reciprocals, few = [], few_positions(node)
        if total << raised <= HALVES.pack(np.array([first] + [0] * 255, np.int32))[137]:
            assert first * total < 1 << 24
            reciprocals.append((255 << 24) // total + 1 << 15 - raised)
        if few:
            assert rest >> raised << 12 < 1 << 32
            reciprocals.append((whole << 16) + ((rest >> raised << 12) // total + 1 << 4))
        if sums_of_24_bits(node):
            second, rest = divmod(rest >> raised << 8, total)
            reciprocals.append((whole << 16) + (second << 8) + (rest << 8) // total + 1)
        found.add((few, sums_of_24_bits(node)))
        for r in reciprocals:
            np.testing.assert_array_equal((e << raised) * r >> 39, 255 * e // total)
    assert found >= {(True, True), (False, True)}


def shapes() -> list[Case]:
    """The operators of microLlama: a row, and eight in parallel."""
    rng, half = np.random.default_rng(1), [1 << 15]
    cases = []
    for tokens in (1, 8):
        cases += [turn(tokens, 16, True, table, rng, mul=[500], add=half) for table in (False, True)]
        cases.append(join("add", (tokens, 64), rng, mul=[50000], add=half))
        cases.append(join("mul", (tokens, 256), rng, mul=[1200], add=half))
        for seen in (8, 17, 65, 129):
            entering = [make(16, 1, seen, seen - 1, rng, USUAL) for make in (new, enter)]
            entering.append(enter(16, 1, seen, seen - 1, rng, [-500, 1 << 15, 500, 1 << 15]))
            cases += entering * (tokens == 1)
            cases.append(attend(seen, tokens, rng))
            cases.append(attend(seen, tokens, rng, mask=np.zeros((tokens, seen), np.int8)))
            cases += [c for case in cases[-2:] if tokens == 1 for c in with_row(case)]
    return [*cases, attend(8, 8, rng, mask=np.triu(np.full((8, 8), -128, np.int8), 1))]


def test_few_positions_are_about_as_fast_as_predicted() -> None:
    """Where masks are not looked through, and where there is none"""
    rng = np.random.default_rng(1)
    masks = [(seen, np.zeros((1, seen), np.int8) if hides else None) for seen in (1, 2, 5, 7) for hides in (0, 1)]
    cases = [replace(attend(seen, 1, rng, mask=mask), kernel=ROW) for seen, mask in masks for _ in range(2)]
    for case, outcome in list(zip(cases, check(cases), strict=True))[1::2]:
        assert ROW.misfit(case.node) is None
        assert ROW.cycles(case.node) == pytest.approx(outcome.cycles, rel=0.12)


def test_shapes_of_networks_are_exact_and_about_as_fast_as_predicted() -> None:
    cases = shapes()
    for case, outcome in zip(cases, check(cases), strict=True):
        if "mask" not in case.operands:
            predicted = case.kernel.cycles(case.node)
            assert abs(predicted - outcome.cycles) <= 0.12 * outcome.cycles + 30, (case.kernel.symbol, outcome.cycles)


@pytest.mark.parametrize("packing", [CENTRED, REVERSED, TWICE, FOURFOLD, HALVES], ids=lambda packing: packing.name)
def test_packings_are_undone_exactly(packing: Packing) -> None:
    table = np.random.default_rng(0).integers(-64, 64, 256).astype(np.int32 if "half" in packing.name else np.int8)
    if packing is HALVES:
        table = np.abs(table) + 200 * (np.arange(256) == 0)
    np.testing.assert_array_equal(packing.unpack(packing.pack(table), (256,)), table)


def test_a_bound_lies_behind_the_numbers() -> None:
    numbers = np.array([700, 1 << 15, -3, 4], np.int32)
    packed = BOUNDED.pack(numbers)
    np.testing.assert_array_equal(BOUNDED.unpack(packed, (4,)), numbers)
    assert packed.dtype == np.int32
    assert packed.tolist() == [700, 1 << 15, -3, 4, ((255 << 15) - 1) // 700]


def norm(n: int, shift: int, x: Array, w: Array) -> Case:
    types = [TensorType((1, n), I8), TensorType((n,), I32)]
    return case_of(ONE_ROW[0], IntegerRMSNorm(shift), types, np.random.default_rng(0), x=x, w=w)


def test_norms_of_one_row() -> None:
    """Every root, weights up to the bound, quotients at whole numbers and one off."""
    rng, most = np.random.default_rng(3), (1 << 22) - 1
    cases = [norm(n, s, rng.integers(-128, 128, (1, n)), rng.integers(-most, most + 1, n))
             for n in (16, 64, 256, 1024) for s in (1, 14, 16, 17, 31)]  # fmt: skip
    for root in (*range(1, 129, 7), 127, 128):
        x = np.full((1, 64), -128 if root == 128 else root)
        d = root if root == 128 else int(np.sqrt(root * root + 1))
        near = rng.integers(-(2**15), 2**15, 64) * d // root + rng.integers(-1, 2, 64)
        cases += [norm(64, s, x * rng.choice([-1, 1] if root < 128 else [1], 64), near) for s in (1, 7)]
        cases.append(norm(64, 16, x, np.where(np.arange(64) % 2, most, -most)))
    outcomes = check(cases)
    usual = outcomes[6]
    assert 0.8 < usual.cycles / ONE_ROW[0].cycles(cases[6].node) < 1.2


@pytest.mark.parametrize("shift", [1, 5, 16, 31])
def test_roots_divide_by_their_reciprocals(shift: int) -> None:
    """For each root: at random products, and about the multiples of what divides."""
    rng = np.random.default_rng(shift)
    for d in range(1, 129):
        bits = (d - 1).bit_length()
        m, whole = (1 << 30 + bits) // d, d << shift
        assert m < 1 << 31
        assert 0 <= (1 << 30 + bits) - m * d < d
        p = rng.integers(-(1 << 29), 1 << 29, 300)
        near = (rng.integers(-200, 200, 300) * whole)[:, None] + np.array([-d, 1 - d, -1, 0, 1, d - 1, d])
        p = np.concatenate([p, near[np.abs(near) < 1 << 29]])
        v = 2 * p + 1 + np.where(p < 0, 2 * d - 2, 0)
        truncated = np.sign(p) * (np.abs(p) // d)
        np.testing.assert_array_equal((v * m >> 32) >> min(shift + bits - 1, 31), truncated >> shift)


def test_doubled_weights_are_packed_without_loss() -> None:
    w = np.array([0, 1, -1, (1 << 22) - 1, -(1 << 22) + 1], np.int32)
    np.testing.assert_array_equal(DOUBLED.unpack(DOUBLED.pack(w), w.shape), w)


def test_other_norms_are_left_to_the_general_row() -> None:
    """Several rows, other lengths, large weights, no shift."""
    for shape, shift, most in (((2, 64), 16, 1), ((1, 48), 16, 1), ((1, 64), 16, 1 << 22), ((1, 64), 0, 1)):
        with pytest.raises(AssertionError):
            case_of(
                ONE_ROW[0], IntegerRMSNorm(shift), [TensorType(shape, I8), TensorType(shape[1:], I32)],
                np.random.default_rng(0), w=np.full(shape[1:], most),
            )  # fmt: skip
