"""Printed SPMD programs on the simulated chip: shares, parts, transfers, loops over tables, constants that travel."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import Phase as Stage
from hypothesis import strategies as st

from tests.siracusa.spmd import (
    GIVEN,
    GIVEN_PART,
    PART,
    SCALE,
    SCRATCH,
    Ref,
    bundle,
    call,
    caller,
    compiled,
    constant,
    run,
    transient,
)  # fmt: skip
from tilewright.ir.program import Barrier, Buffer, Call, Column, Copy, Loop, Parts, Phase, Share, Step, Table, Wait
from tilewright.ir.types import U8, Kind
from tilewright.targets.base import Kernel

FEW = settings(
    max_examples=4,
    deadline=None,
    phases=[Stage.explicit, Stage.generate],  # an example takes seconds
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def numbers(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-999, 999, count, np.int32)


@FEW
@given(st.integers(1, 70), st.sampled_from([1, 2, 8, 64]), st.integers(0, 99))
def test_shares_cover_every_index_once(tmp_path: Path, total: int, unit: int, seed: int) -> None:
    data = numbers(5, seed)
    x, y, w = caller("x", Kind.INPUT, total), caller("y", Kind.OUTPUT, total), constant("w", data)
    near, between, end = transient("near", 0, total), transient("between", 512, total), transient("end", 0, total)
    scratch = transient("scratch", 1024, 8 * 96)
    share = Share(total, unit)
    first = call(SCALE, "scale", {"a": Ref(near), "b": Ref(w, 1), "y": Ref(between)}, n=3, factor=7)
    operands = {"a": Ref(between), "b": Ref(w), "y": Ref(end), "scratch": Ref(scratch)}
    second = call(SCRATCH, "turn", operands, n=5, factor=3)
    steps: list[Step] = [
        Copy(Ref(near), Ref(x), 4 * total, 1), Wait(1), Barrier(), Phase((first,), share), Barrier(),
        Phase((second,), share), Barrier(), Copy(Ref(y), Ref(end), 4 * total, 0), Wait(0),
    ]  # fmt: skip
    network = compiled(steps, x, y, (w, near, between, end, scratch), 1024 + 4 * 8 * 96)
    body = network.source.functions[0][1]
    assert body.count("tw_share(") == 1, "neighbouring phases of one share compute it once"
    given_x, at = numbers(total, seed + 1), np.arange(total)
    wanted = (given_x * 7 + data[1 + at % 3]) * 3 + data[at % 5]
    for got in run(network, Path(mkdtemp(dir=tmp_path)), given_x):
        np.testing.assert_array_equal(got, wanted)


@FEW
@given(st.integers(1, 9), st.integers(1, 40), st.integers(2, 6), st.integers(0, 99))
def test_a_loop_streams_tiles_of_lines(tmp_path: Path, rows: int, width: int, tiles: int, seed: int) -> None:
    """Columns of a matrix in two buffers by turns: the next tile and its constants arrive while one is computed."""
    stride, size = tiles * width, rows * width
    x, y = caller("x", Kind.INPUT, rows * stride), caller("y", Kind.OUTPUT, rows * stride)
    data = [(numbers(1, seed + t), numbers(width, seed + 100 * t)) for t in range(tiles)]
    at = 16
    packs = [
        bundle(f"blocks.{t}.w", (constant(f"blocks.{t}.pad", one, 0), constant(f"blocks.{t}.w", w, at)))
        for t, (one, w) in enumerate(data)
    ]
    step = -(-4 * size // 16) * 16
    near = [transient("x_near", k * step, size) for k in range(2)]
    far = transient("y_near", 2 * step, size)
    base = 3 * step
    room = -(-packs[0].bytes // 16) * 16
    raw = [Buffer("pack", Kind.ACT, "l1", base + k * room, packs[0].bytes, U8) for k in range(2)]
    w_near = [transient("w_near", base + k * room + at, width) for k in range(2)]

    def fetch(x_to: Ref | Column, x_from: Ref | Column, w_to: Ref | Column, w_from: Ref | Column) -> list[Step]:
        return [
            Copy(x_to, x_from, 4 * width, 0, rows, 4 * stride),
            Copy(w_to, w_from, packs[0].bytes, 0),
        ]

    def compute(a: Ref | Column, w: Ref | Column, out: Ref | Column) -> list[Step]:
        scale = call(SCALE, "blocks.0.scale", {"a": a, "b": w, "y": Ref(far)}, n=width, factor=5)
        out_again = Copy(out, Ref(far), 4 * width, 3, rows, 4 * stride)
        return [Phase((scale,), Share(size, 2)), Barrier(), out_again, Wait(3), Barrier()]

    table = Table(
        "tiles", ("x_next", "x", "w_next", "w", "x_near", "w_near", "y"),
        tuple(
            (
                Ref(near[(t + 1) % 2]), Ref(x, (t + 1) * width), Ref(raw[(t + 1) % 2]), Ref(packs[t + 1]),
                Ref(near[t % 2]), Ref(w_near[t % 2]), Ref(y, t * width),
            )
            for t in range(tiles - 1)
        ),
    )  # fmt: skip
    last = tiles - 1
    body = [
        Wait(0), Barrier(), *fetch(Column(0), Column(1), Column(2), Column(3)),
        *compute(Column(4), Column(5), Column(6)),
    ]  # fmt: skip
    steps: list[Step] = [
        *fetch(Ref(near[0]), Ref(x), Ref(raw[0]), Ref(packs[0])), Loop(table, tuple(body)), Wait(0), Barrier(),
        *compute(Ref(near[last % 2]), Ref(w_near[last % 2]), Ref(y, last * width)),
    ]  # fmt: skip
    network = compiled(steps, x, y, (*packs, *near, far, *raw, *w_near), base + 2 * room)
    given_x = numbers(rows * stride, seed + 5)
    wanted = given_x.reshape(rows, stride) * 5 + np.concatenate([w for _, w in data])
    for got in run(network, Path(mkdtemp(dir=tmp_path)), given_x):
        np.testing.assert_array_equal(got, wanted.reshape(-1))


def test_columns_at_equal_distances_are_one(tmp_path: Path) -> None:
    """Rounds that swap the halves of each row: one column of where the rows begin, and constants."""
    rounds, width = 3, 5
    x, y = caller("x", Kind.INPUT, 2 * width * rounds), caller("y", Kind.OUTPUT, 2 * width * rounds)
    near = transient("near", 0, 2 * width)
    order = (2, 0, 1)
    table = Table(
        "rows", ("right", "left", "to_right", "to_left"),
        tuple(tuple(Ref(b, 2 * width * t + at) for b in (x, y) for at in (width, 0)) for t in order),
    )  # fmt: skip
    halves = [Ref(near), Ref(near, width)]
    body: list[Step] = [
        *(Copy(half, Column(c), 4 * width, 0) for half, c in zip(halves, (0, 1), strict=True)), Wait(0),
        *(Copy(Column(c), half, 4 * width, 0) for half, c in zip(halves, (3, 2), strict=True)), Wait(0),
    ]  # fmt: skip
    network = compiled([Loop(table, tuple(body))], x, y, (near,), 8 * width)
    assert re.findall(r"int32_t (\w+);", network.source.tables) == ["left", "to_left"]
    given_x = numbers(2 * width * rounds, 4)
    wanted = given_x.reshape(rounds, 2, width)[:, ::-1].reshape(-1)
    for got in run(network, tmp_path / "c", given_x):
        np.testing.assert_array_equal(got, wanted)


def test_transfers_may_be_larger_than_one_of_the_dma(tmp_path: Path) -> None:
    lines, width = 33, 1025  # 135,300 bytes
    count = lines * width
    x, y, near = caller("x", Kind.INPUT, count), caller("y", Kind.OUTPUT, count), transient("near", 0, count)
    steps: list[Step] = [
        Copy(Ref(near), Ref(x), 4 * count, 2), Wait(2),
        Copy(Ref(y), Ref(near), 4 * width, 2, lines, 4 * width), Wait(2),
    ]  # fmt: skip
    given_x = numbers(count, 3)
    for got in run(compiled(steps, x, y, (near,), 4 * count), tmp_path / "c", given_x):
        np.testing.assert_array_equal(got, given_x)


@FEW
@given(st.tuples(*[st.tuples(st.integers(1, 5), st.integers(0, 3), st.integers(0, 3))] * 3))
def test_transfers_of_blocks(tmp_path: Path, axes: tuple[tuple[int, int, int], ...]) -> None:
    """A box of a tensor comes in and goes to the mirrored place in another: (size, elements before and behind)."""
    shape = tuple(before + size + behind for size, before, behind in axes)
    total, box = int(np.prod(shape)), tuple(slice(before, before + size) for size, before, _ in axes)
    mirrored = tuple(slice(behind, behind + size) for size, _, behind in axes)
    numbered = np.arange(total).reshape(shape)
    (blocks, lines, width), (_, rows, columns) = (size for size, _, _ in axes), shape
    x, y = caller("x", Kind.INPUT, total), caller("y", Kind.OUTPUT, total)
    near, zeros = transient("near", 0, blocks * lines * width), constant("zeros", np.zeros(1, np.int32))
    sizes = (4 * width, 0, lines, 4 * columns, 0, blocks, 4 * rows * columns)
    clear = call(SCALE, "clear", {"a": Ref(x), "b": Ref(zeros), "y": Ref(y)}, n=1, factor=0)
    steps: list[Step] = [
        Phase((clear,), Share(total)), Copy(Ref(near), Ref(x, int(numbered[box].flat[0])), *sizes), Wait(0), Barrier(),
        Copy(Ref(y, int(numbered[mirrored].flat[0])), Ref(near), *sizes), Wait(0),
    ]  # fmt: skip
    given_x = numbers(total, 3)
    wanted = np.zeros(shape, np.int32)
    wanted[mirrored] = given_x.reshape(shape)[box]
    network = compiled(steps, x, y, (zeros, near), 4 * near.elements)
    for got in run(network, Path(mkdtemp(dir=tmp_path)), given_x):
        np.testing.assert_array_equal(got, wanted.reshape(-1))


@FEW
@given(
    st.lists(st.none() | st.integers(1, 9), min_size=8, max_size=8).filter(any), st.booleans(),
    st.sampled_from([PART, GIVEN_PART]), st.integers(0, 99),
)  # fmt: skip
def test_every_core_runs_its_part(
    tmp_path: Path, sizes: list[int | None], looped: bool, kernel: Kernel, seed: int
) -> None:
    """Parts of different sizes and factors; in a loop, on two halves, by columns that lie at equal distances."""
    half = sum(size or 0 for size in sizes)
    halves = 2 if looped else 1
    total = halves * half
    x, y = caller("x", Kind.INPUT, total), caller("y", Kind.OUTPUT, total)
    data = numbers(8, seed)
    w = bundle("pack", (constant("w", data, 8),))
    state = Buffer("kept", Kind.STATE, "l2", None, total, w.members[0].dtype)
    starts = np.cumsum([0, *(size or 0 for size in sizes)])

    def part(core: int, size: int | None, a: Ref | Column, to: Ref | Column) -> Call | None:
        operands = {"a": a, "b": Ref(w.members[0], core), "y": to}
        return size and call(kernel, "part", operands, n=size, factor=core - 3)  # type: ignore[return-value]

    columns = tuple(f"{name}{core}" for core in range(8) for name in ("x", "y"))
    rows = tuple(
        tuple(Ref(b, h * half + int(starts[core])) for core in range(8) for b in (x, state)) for h in range(halves)
    )
    if looped:
        inner = Parts(tuple(part(c, size, Column(2 * c), Column(2 * c + 1)) for c, size in enumerate(sizes)))
        main: Step = Loop(Table("halves", columns, rows), (inner,))
    else:
        main = Parts(tuple(part(c, size, rows[0][2 * c], rows[0][2 * c + 1]) for c, size in enumerate(sizes)))
    add = call(kernel, "out", {"a": Ref(state), "b": Ref(w.members[0], 7), "y": Ref(y)}, n=total, factor=1)
    network = compiled([main, Barrier(), Phase((add,))], x, y, (w, state), 0)
    factor = np.tile(np.repeat(np.arange(8) - 3, [size or 0 for size in sizes]), halves)
    added = np.tile(np.repeat(data, [size or 0 for size in sizes]), halves)
    given_x = numbers(total, seed + 1)
    for got in run(network, Path(mkdtemp(dir=tmp_path)), given_x):
        np.testing.assert_array_equal(got, given_x * factor + added + data[7])


@FEW
@given(st.integers(1, 40), st.integers(2, 5), st.sampled_from([0, 24, 4096]), st.integers(-9, 9), st.integers(0, 99))
def test_arguments_by_struct(tmp_path: Path, count: int, rounds: int, tables: int, factor: int, seed: int) -> None:
    """Rounds that differ in an operand, that are alike, and that use the caller's memory, whose address is no constant.

    Structs lie in the scratchpad where there is room, those of rounds in the loop's table; else a call makes its own.
    """
    data = [numbers(3, seed + t) for t in range(rounds)]
    x, y = caller("x", Kind.INPUT, rounds * count), caller("y", Kind.OUTPUT, rounds * count)
    w = [constant(f"blocks.{t}.w", d) for t, d in enumerate(data)]
    near, between, end, scratch = (
        transient(n, 256 * k, 8 * count) for k, n in enumerate(("near", "between", "end", "s"))
    )
    share, size = Share(count, 2), {"n": 3, "more": (1 << 32) + 2, "factor": factor}

    def phase(name: str, a: Ref, b: Ref | Column, to: Ref | Column) -> Phase:
        operands = {"a": a, "b": b, "y": to, "scratch": Ref(scratch)}
        return Phase((call(GIVEN, f"blocks.0.{name}", operands, **size),), share)

    body: list[Step] = [
        phase("differs", Ref(near), Column(0), Ref(between)), Barrier(),
        phase("alike", Ref(between), Ref(w[0]), Ref(end)), Barrier(),
        phase("outside", Ref(end), Ref(w[1]), Column(1)), Barrier(),
    ]  # fmt: skip
    rows = tuple((Ref(w[t]), Ref(y, t * count)) for t in range(rounds))
    steps: list[Step] = [
        Copy(Ref(near), Ref(x), 4 * count, 1), Wait(1), Barrier(), Loop(Table("blocks", ("w", "y"), rows), tuple(body)),
    ]  # fmt: skip
    network = compiled(steps, x, y, (*w, near, between, end, scratch), 1024 + 32 * count, tables=tables)
    written, text = network.source.functions[0][1], network.source.tables
    assert ("test_given(&block->test_given, " in written) == (tables == 4096)
    assert ("net_test_given TW_NEAR" in text) == (tables >= 24)
    assert "test_given(&net_test_given, " in written
    own = "{.a = arena_l1.end.v, .b = net_blocks_1_w, .y = y + block->y, .n = 3, .more = 4294967298}"
    assert f"own = {own};" in " ".join(written.split())
    given_x, at, times = numbers(rounds * count, seed + 9), np.arange(count) % 3, factor + 2
    wanted = [((given_x[:count] * times + d[at]) * times + data[0][at]) * times + data[1][at] for d in data]
    for got in run(network, Path(mkdtemp(dir=tmp_path)), given_x):
        np.testing.assert_array_equal(got, np.concatenate(wanted))


def test_transfers_have_to_cross_the_border_of_the_scratchpad() -> None:
    x, y = caller("x", Kind.INPUT, 4), caller("y", Kind.OUTPUT, 4)
    with pytest.raises(AssertionError, match="cross the border"):
        compiled([Copy(Ref(y), Ref(x), 16, 0), Wait(0)], x, y, (), 0)
