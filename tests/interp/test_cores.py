"""Programs of several cores: shares and parts, barriers, transfers of lines, structs of constants, packed tiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.interp.programs import ADD, add, buffer, run, shared
from tilewright.interp.program import Machine, RaceError
from tilewright.ir.graph import Builder
from tilewright.ir.program import Barrier, Buffer, Call, Copy, Job, Parts, Phase, Program, Ref, Share, Step, Wait
from tilewright.ir.types import F32, I8, I32, Dim, Kind, Sym, TensorType
from tilewright.ops import Append, Linear, RMSNorm, SwiGLU
from tilewright.ops import Copy as Move
from tilewright.targets.base import Kernel
from tilewright.targets.host.packing import CHANNELS, PANELS

X, Y = buffer("x", 8, kind=Kind.INPUT), buffer("y", 8, kind=Kind.OUTPUT)
L, M = buffer("l", 8, 0), buffer("m", 8, 32)
TWICE = [0, 2, 4, 6, 8, 10, 12, 14]


def outcome(*steps: Step, cores: int = 4) -> list[float]:
    return run(steps, [X], [Y], [L, M], cores)[0].tolist()


def doubled(source: Buffer, target: Buffer, name: str, size: int = 8, first: int = 0) -> Call:
    return add(Ref(source, first), Ref(source, first), Ref(target, first), size, name)


# Shares


def test_cores_that_keep_their_share_need_no_barrier() -> None:
    assert outcome(shared(doubled(X, L, "one")), shared(add(Ref(L), Ref(X), Ref(Y), 8))) == [3 * i for i in range(8)]


def test_other_shares_of_what_another_core_wrote_need_a_barrier() -> None:
    first, second = shared(doubled(X, L, "one")), shared(doubled(L, Y, "two"), unit=3)
    assert outcome(first, Barrier(), second) == [2 * v for v in TWICE]
    with pytest.raises(RaceError, match=r"two \(core 0\) reads bytes 8\.\.12 of l, which one \(core 1\) wrote: no "):
        outcome(first, second)


def test_core_0_alone_needs_a_barrier_on_both_sides() -> None:
    one, two, three = shared(doubled(X, L, "one")), Phase((doubled(L, M, "two"),)), shared(doubled(M, Y, "three"))
    assert outcome(one, Barrier(), two, Barrier(), three) == [4 * v for v in TWICE]
    with pytest.raises(RaceError, match=r"two \(core 0\) reads bytes 8\.\.32 of l, which one"):
        outcome(one, two, Barrier(), three)
    with pytest.raises(RaceError, match=r"three .* of m, which two"):
        outcome(one, Barrier(), two, three)


def test_overwriting_what_others_still_read_fails() -> None:
    read, over = shared(doubled(L, Y, "read")), Phase((doubled(X, L, "over"),))
    filled = (over, Barrier())
    assert outcome(*filled, read, Barrier(), over) == [2 * v for v in TWICE]
    with pytest.raises(RaceError, match=r"over \(core 0\) writes bytes 8\.\.32 of l, which read \(core 1\) read"):
        outcome(*filled, read, over)


def call_of(op: object, kernel: Kernel, operands: dict[str, tuple[TensorType, Ref]], result: Ref) -> Call:
    build = Builder("g")
    build(op, *(build.input(n, kind) for n, (kind, _) in operands.items()), name=type(op).__name__)  # type: ignore[arg-type]
    pairs = [(name, ref) for name, (_, ref) in operands.items()] + [("y", result)]
    return Call(kernel, build.nodes[0], tuple(pairs), ())


def plain(op: type) -> Kernel:
    return Kernel(op, "k.c", "k", "", {})


def rows(shape: tuple[Dim, ...]) -> TensorType:
    return TensorType(shape, F32)


def append_to(state: Buffer) -> Call:
    """x becomes row 2 of a cache of 4 rows."""
    call = call_of(Append(2), plain(Append), {"state": (rows((4, 8)), Ref(state)), "x": (rows((1, 8)), Ref(X))}, Ref(Y))
    return Call(call.kernel, call.semantics, call.operands[:2], ())


def test_reads_follow_the_access_maps() -> None:
    """A linear layer reads all of x for every output, a row-wise one only the rows that it writes."""
    w = Buffer("w", Kind.CONST, "l2", None, 16, F32, np.eye(4, dtype=np.float32).reshape(-1))
    linear = call_of(Linear(), plain(Linear), {"x": (rows((2, 4)), Ref(L)), "w": (rows((4, 4)), Ref(w))}, Ref(Y))
    fill = shared(doubled(X, L, "fill"), unit=4)
    by_row, by_output = Share(2, 1, ("t0",)), Share(8, 1, ("t0", "o"))

    def result(share: Share, *between: Step) -> list[float]:
        return run([fill, *between, Phase((linear,), share)], [X], [Y], [L, w], 2)[0].tolist()

    assert result(by_row) == result(by_output) == TWICE
    columns = Share(4, 1, ("o",))
    assert result(columns, Barrier()) == TWICE
    with pytest.raises(RaceError, match=r"Linear .* fill"):
        result(columns)


def test_columns_of_a_matrix_are_not_their_hull() -> None:
    """Cores that share the last axis write interleaved bytes, and none of the others'."""
    moves = [call_of(Move(), plain(Move), {"x": (rows((2, 4)), Ref(a))}, Ref(b)) for a, b in ((X, L), (L, Y))]
    (_, column) = moves[0].semantics.op.domain(*moves[0].semantics.types).parallel
    steps = [Phase((move,), Share(4, 1, (column,))) for move in moves]
    assert outcome(*steps) == list(range(8))


def test_results_that_the_dimensions_do_not_index_belong_to_nobody() -> None:
    """A share over dimensions that the result lacks: who writes what is unknown, so a barrier must follow."""
    state = Buffer("cache", Kind.STATE, "l1", 0, 32, F32)
    append = call_of(
        Append(2), plain(Append), {"state": (rows((4, 8)), Ref(state)), "x": (rows((1, 8)), Ref(X))}, Ref(Y)
    )
    append = Call(append.kernel, append.semantics, append.operands[:2], ())
    read = Phase((add(Ref(state, 16), Ref(state, 16), Ref(Y), 8, "read"),))

    def result(share: Share, *between: Step) -> list[float]:
        return run([Phase((append,), share), *between, read], [X], [Y], [state], 2)[0].tolist()

    assert result(Share(1, 1, ("t",)), Barrier()) == TWICE
    with pytest.raises(RaceError, match=r"read .* Append .* wrote"):
        result(Share(8, 1, ("c",)))
    with pytest.raises(RaceError, match=r"Append \(several cores\) wrote"):
        result(Share(8, 1, ()))


def test_a_row_that_is_overwritten_in_place_belongs_to_its_core() -> None:
    """The map says that all of the row may be read; a kernel that may overwrite its operand reads what it writes."""
    w = Buffer("w", Kind.CONST, "l2", None, 8, F32, np.ones(8, np.float32))
    kernel = plain(RMSNorm)
    operands = {"x": (rows((1, 8)), Ref(L)), "w": (rows((8,)), Ref(w))}
    share = Share(8, 1, ("c",))

    def result(kernel: Kernel) -> None:
        call = call_of(RMSNorm(1e-5), kernel, operands, Ref(L))
        run([shared(doubled(X, L, "fill")), Barrier(), Phase((call,), share)], [X], [Y], [L, w], 2)

    result(Kernel(RMSNorm, "k.c", "k", "", {}, in_place={"y": "x"}))
    with pytest.raises(RaceError, match=r"RMSNorm .* RMSNorm"):
        result(kernel)


def test_a_share_of_another_size_is_a_defect() -> None:
    with pytest.raises(ValueError, match="7 indices are shared"):
        outcome(Phase((doubled(X, Y, "one"),), Share(7, 1, ("i0",))))


def test_the_share_of_a_symbolic_length() -> None:
    n = Sym("n", 4, 1)
    silu = call_of(SwiGLU(), plain(SwiGLU), {"a": (rows((n, 2)), Ref(X)), "b": (rows((n, 2)), Ref(X))}, Ref(Y))
    dims = silu.semantics.op.domain(*silu.semantics.types).parallel
    program = Program("p", (Phase((silu,), Share(n, 1, dims[:1])),), (X,), (Y,), (n,), (X, Y))
    machine = Machine([program], {}, 3)
    x = np.arange(8, dtype=np.float32)
    for size in (1, 3, 4):
        (got,) = machine.run(program, [x], {"n": size})
        np.testing.assert_allclose(got[: 2 * size], (x * x / (1 + np.exp(-x)))[: 2 * size], rtol=1e-5)


# Parts


def test_parts_that_touch_different_bytes() -> None:
    parts = Parts((doubled(X, Y, "low", 5), None, doubled(X, Y, "high", 3, 5)))
    assert outcome(parts, cores=3) == TWICE


def test_parts_that_meet_fail_in_any_order() -> None:
    parts = Parts((doubled(X, Y, "low", 6), doubled(X, Y, "high", 3, 5)))
    said = set()
    for seed in range(6):
        with pytest.raises(RaceError, match=r"bytes 20\.\.24 of y") as error:
            run([parts], [X], [Y], [], 2, seed)
        said.add(str(error.value).split()[0])
    assert said == {"low", "high"}


def test_what_two_cores_read_neither_may_overwrite() -> None:
    read, over = Parts((doubled(L, Y, "one", 4), doubled(L, M, "two", 6))), doubled(X, L, "over")
    fill = (Phase((over,)), Barrier())
    for parts in (Parts((over, None)), Parts((None, over))):
        run([*fill, read, Barrier(), parts], [X], [Y], [L, M], 2)
        with pytest.raises(RaceError, match=r"over \(core \d\) writes bytes 0\.\.\d+ of l"):
            run([*fill, read, parts], [X], [Y], [L, M], 2)


def test_parts_are_as_many_as_cores() -> None:
    with pytest.raises(ValueError, match="parts for 1 cores of 2"):
        outcome(Parts((None,)), cores=2)


# Transfers and jobs


FETCH = Copy(Ref(L), Ref(X), 32, token=1)


def test_a_transfer_is_seen_by_others_after_wait_and_barrier() -> None:
    assert outcome(FETCH, Wait(1), Barrier(), shared(doubled(L, Y, "use"))) == TWICE
    assert outcome(FETCH, Wait(1), Phase((doubled(L, Y, "use"),))) == TWICE
    with pytest.raises(RaceError, match=r"use .* which copy of x to l \(core 0\) wrote"):
        outcome(FETCH, Wait(1), shared(doubled(L, Y, "use")))
    with pytest.raises(RaceError, match="before the wait for token 1: copy of x to l"):
        outcome(FETCH, Barrier(), shared(doubled(L, Y, "use")), Wait(1))


def test_a_transfer_takes_what_its_core_can_see() -> None:
    fill, out = shared(doubled(X, L, "fill")), Copy(Ref(Y), Ref(L), 32, token=2, core=3)
    assert outcome(fill, Barrier(), out, Wait(2, core=3)) == TWICE
    with pytest.raises(RaceError, match=r"copy of l to y \(core 3\) reads bytes 0\.\.24 of l, which fill"):
        outcome(fill, out, Wait(2, core=3))


def test_a_transfer_overwrites_nothing_in_use() -> None:
    use = shared(doubled(L, Y, "use"))
    assert outcome(FETCH, Wait(1), Barrier(), use, Barrier(), FETCH, Wait(1)) == TWICE
    with pytest.raises(RaceError, match=r"copy of x to l \(core 0\) writes bytes 8\.\.32 of l, which use"):
        outcome(FETCH, Wait(1), Barrier(), use, FETCH, Wait(1))


def test_only_the_issuing_core_waits() -> None:
    with pytest.raises(RaceError, match="core 2 waits for token 1, but copy of x to l was started by core 0"):
        outcome(FETCH, Wait(1, core=2))


def test_transfers_share_a_token_in_a_row() -> None:
    halves = [Copy(Ref(L, 4 * i), Ref(X, 4 * i), 16, token=1) for i in range(2)]
    assert outcome(*halves, Wait(1), Barrier(), shared(doubled(L, Y, "use"))) == TWICE
    with pytest.raises(RaceError, match="nobody waited for copy of x to l"):
        outcome(halves[0], Barrier(), halves[1], Wait(1))
    with pytest.raises(RaceError, match="before the wait for token 1"):
        outcome(halves[0], halves[0], Wait(1))
    with pytest.raises(RaceError, match=r"core 1\) starts with token 1, and nobody waited for copy of x to l \("):
        outcome(halves[0], replace(halves[1], core=1), Wait(1))


def test_a_transfer_onto_itself_fails() -> None:
    with pytest.raises(RaceError, match="writes bytes that it reads"):
        outcome(FETCH, Wait(1), Copy(Ref(L, 1), Ref(L), 16, token=1), Wait(1))


def test_until_the_wait_there_is_junk() -> None:
    """Where nobody keeps track of races a missing wait still shows in the values."""
    program = Program("p", (FETCH, Wait(1)), (X,), (Y,), (), (X, Y, L))
    machine = Machine([program], {"l1": 64})
    machine.run(program, [np.arange(8, dtype=np.float32)])
    held = machine.memories.bytes["l1"][:32].view(np.float32)
    assert held.tolist() == list(range(8))
    for start in (FETCH, Job(doubled(X, L, "job"), token=1)):
        held[:] = 1
        early = Program("q", (start,), (X,), (Y,), (), (X, Y, L))
        with pytest.raises(RaceError, match="never waited for: 1 "):
            machine.run(early, [np.arange(8, dtype=np.float32)])
        assert not np.any(np.isin(held, [1, *range(16)]))


def test_a_job_delivers_at_its_wait() -> None:
    job = Job(doubled(X, L, "job"), token=7, core=1)
    use = shared(doubled(L, Y, "use"))
    assert outcome(job, shared(doubled(X, M, "meanwhile")), Wait(7, core=1), Barrier(), use) == [2 * v for v in TWICE]
    with pytest.raises(RaceError, match=r"use .* before the wait for token 7: job \(core 1\)"):
        outcome(job, Barrier(), use, Wait(7, core=1))
    with pytest.raises(RaceError, match=r"use .* which job"):
        outcome(job, Wait(7, core=1), use)
    with pytest.raises(RaceError, match="nobody waited for job"):
        outcome(job, Job(doubled(X, M, "second"), token=7, core=1), Wait(7, core=1))


def matrix(name: str, kind: Kind) -> Buffer:
    return buffer(name, 24, kind=kind)


@pytest.mark.parametrize("size", [1, 2])
def test_lines_are_dense_in_the_scratchpad(size: int) -> None:
    """Columns of a 4 x 6 matrix come in, and go out to other columns."""
    x, y = matrix("x", Kind.INPUT), matrix("y", Kind.OUTPUT)
    tile = Buffer("tile", Kind.ACT, "l1", 0, 4 * size, F32)
    n = Sym("n", 4, 4)
    steps = (
        Phase((add(Ref(x), Ref(x), Ref(y), 24),)),
        Copy(Ref(tile), Ref(x, 1), 4 * size, 0, lines=n, stride=24),
        Wait(0),
        Copy(Ref(y, 4), Ref(tile), 4 * size, 0, lines=n, stride=24),
        Wait(0),
    )
    program = Program("p", steps, (x,), (y,), (n,), (x, y, tile))
    data = np.arange(24, dtype=np.float32).reshape(4, 6)
    machine = Machine([program], {"l1": 64}, 2)
    (got,) = machine.run(program, [data], {"n": 3})
    want = 2 * data
    want[:3, 4 : 4 + size] = data[:3, 1 : 1 + size]
    np.testing.assert_array_equal(got.reshape(4, 6), want)
    assert (
        machine.memories.bytes["l1"][: 12 * size].view(np.float32).tolist() == data[:3, 1 : 1 + size].ravel().tolist()
    )
    with pytest.raises(IndexError):
        machine.run(program, [data], {"n": 5})


def test_blocks_of_lines() -> None:
    """Two columns of every other row come in, from both matrices of a 2 x 4 x 3 tensor."""
    x, y = matrix("x", Kind.INPUT), buffer("y", 8, kind=Kind.OUTPUT)
    tile = Buffer("tile", Kind.ACT, "l1", 0, 8, F32)
    fetch = Copy(Ref(tile), Ref(x, 1), 8, 0, lines=2, stride=24, blocks=2, apart=48)
    steps = (fetch, Wait(0), Copy(Ref(y), Ref(tile), 32, 1), Wait(1))
    data = np.arange(24, dtype=np.float32)
    program = Program("p", steps, (x,), (y,), (), (x, y, tile))
    (got,) = Machine([program], {"l1": 64}, 2).run(program, [data])
    assert got.tolist() == [1, 2, 7, 8, 13, 14, 19, 20]
    beyond = replace(fetch, apart=64)
    with pytest.raises(IndexError):
        run([beyond, Wait(0)], [x], [y], [tile], 2)


def test_lines_leave_the_bytes_between_them_alone() -> None:
    x, y, tile = matrix("x", Kind.INPUT), matrix("y", Kind.OUTPUT), Buffer("tile", Kind.ACT, "l1", 0, 4, F32)
    fetch = (Copy(Ref(tile), Ref(x), 4, 0, lines=4, stride=24), Wait(0))
    out = Copy(Ref(y, 2), Ref(tile), 4, 0, lines=4, stride=24)
    beside, over = (Phase((add(Ref(x, i), Ref(x, i), Ref(y, i), 2, "beside"),)) for i in (6, 7))
    run([*fetch, out, beside, Wait(0)], [x], [y], [tile], 2)
    with pytest.raises(RaceError, match=r"bytes 32\.\.36 of y before the wait"):
        run([*fetch, out, over, Wait(0)], [x], [y], [tile], 2)


def test_lines_go_between_a_scratchpad_and_another_memory() -> None:
    with pytest.raises(ValueError, match="do not go between"):
        outcome(Copy(Ref(M), Ref(L), 4, 0, lines=2, stride=16), Wait(0))


# Buffers


def test_constants_that_travel_together() -> None:
    """A struct of constants comes in one transfer; its members are used where it comes from and where it goes."""
    bias = Buffer("bias", Kind.CONST, "l2", 0, 2, F32, np.array([1, 2], np.float32))
    few = Buffer("few", Kind.CONST, "l2", 8, 3, I8, np.array([1, 2, 3], np.int8))
    weight = Buffer("weight", Kind.CONST, "l2", 12, 2, F32, np.array([10, 20], np.float32))
    struct = Buffer("layer", Kind.CONST, "l2", None, 20, I8, members=(bias, few, weight))
    here = [Buffer(name, Kind.ACT, "l1", 32 + at, 2, F32) for name, at in (("bias", 0), ("weight", 12))]
    steps = [
        Copy(Ref(here[0]), Ref(struct), 20, 0),
        Phase((add(Ref(bias), Ref(weight), Ref(Y), 2),)),
        Wait(0),
        Phase((add(Ref(here[0]), Ref(here[1]), Ref(Y, 2), 2),)),
    ]
    with pytest.raises(IndexError):
        run(steps, [X], [Y], [struct, *here])
    slot = Buffer("slot", Kind.ACT, "l1", 32, 20, I8)
    steps[0] = Copy(Ref(slot), Ref(struct), 20, 0)
    assert run(steps, [X], [Y], [struct, slot, *here])[0][:4].tolist() == [11, 22, 11, 22]


def test_members_of_a_slot_have_addresses() -> None:
    parts = tuple(Buffer(name, Kind.ACT, "l1", at, 2, F32) for name, at in (("a", 0), ("b", 8)))
    slot = Buffer("slot", Kind.ACT, "l1", 16, 16, I8, members=parts)
    steps = [Copy(Ref(slot), Ref(X), 16, 0), Wait(0), Phase((add(Ref(parts[0]), Ref(parts[1]), Ref(Y), 2),))]
    assert run(steps, [X], [Y], [slot])[0][:2].tolist() == [2, 4]


def test_constants_are_not_written() -> None:
    w = Buffer("w", Kind.CONST, "l2", None, 8, F32, np.ones(8, np.float32))
    for step in (Phase((doubled(X, w, "bad"),)), Copy(Ref(w), Ref(X), 32, 0)):
        with pytest.raises(ValueError, match="constant"):
            run([step], [X], [Y], [w])


def test_a_packed_tile_is_unpacked_where_it_lies() -> None:
    """A tile of a packed weight comes to the scratchpad as bytes and is read with the tile's type."""
    weight = np.arange(32 * 2, dtype=np.float32).reshape(32, 2)
    packed = Buffer("w", Kind.CONST, "l2", None, 64, F32, PANELS.pack(weight), PANELS)
    tile = Buffer("tile", Kind.ACT, "l1", 0, 32, F32, packing=PANELS)
    kinds = {"x": (rows((1, 2)), Ref(X, 1)), "w": (rows((16, 2)), Ref(tile))}
    y = buffer("y", 16, kind=Kind.OUTPUT)
    linear = call_of(Linear(), plain(Linear), kinds, Ref(y))
    fetch = Copy(Ref(tile), Ref(packed, 32), 128, 0)
    steps = [fetch, Wait(0), Barrier(), Phase((linear,), Share(16, 4, ("o",)))]
    (got,) = run(steps, [X], [y], [packed, tile], 4)
    np.testing.assert_array_equal(got, weight[16:] @ [1, 2])


def test_packed_state_belongs_to_the_core_of_its_channel() -> None:
    """Appended and read channel by channel on one core without a barrier, though packing moves every element."""
    n = CHANNELS.elements((4, 8))
    state = Buffer("cache", Kind.STATE, "l1", 0, n, F32, packing=CHANNELS)
    cache = rows((4, 8))
    append = append_to(state)
    y = buffer("y", 32, kind=Kind.OUTPUT)
    read = call_of(Move(), plain(Move), {"x": (cache, Ref(state))}, Ref(y))
    (_, column) = read.semantics.op.domain(*read.semantics.types).parallel
    steps = [Phase((append,), Share(8, 1, ("c",))), Phase((read,), Share(8, 1, (column,)))]
    (got,) = run(steps, [X], [y], [state], 4, l1=4 * n)
    assert got.reshape(4, 8)[2].tolist() == list(range(8))
    with pytest.raises(RaceError, match="of cache"):
        run([steps[0], Phase((read,), Share(8, 3, (column,)))], [X], [y], [state], 4, l1=4 * n)


def test_state_and_constants_with_addresses() -> None:
    """State in the scratchpad starts at zero, survives a run and is reset; a constant is there from the start."""
    state = Buffer("sum", Kind.STATE, "l1", 0, 8, F32)
    one = Buffer("one", Kind.CONST, "l1", 32, 8, F32, np.ones(8, np.float32))
    steps = (Phase((add(Ref(state), Ref(one), Ref(state), 8), add(Ref(state), Ref(state), Ref(Y), 8))),)
    program = Program("p", steps, (X,), (Y,), (), (X, Y, state, one))
    machine = Machine([program], {"l1": 64}, 8)
    x = np.zeros(8, np.float32)
    assert [machine.run(program, [x])[0][0] for _ in range(2)] == [2, 4]
    machine.reset()
    assert machine.run(program, [x])[0][7] == 2


def test_scratch_holds_junk_and_each_core_has_its_part() -> None:
    scratch = Buffer("scratch", Kind.ACT, "l1", 0, 8, F32)
    call = doubled(X, M, "one")
    call = Call(ADD, call.semantics, (*call.operands, ("scratch", Ref(scratch))), ())
    fill, read = Phase((doubled(X, scratch, "fill"),)), Phase((doubled(scratch, Y, "read"),))

    def result(*steps: Step) -> list[float]:
        return run(steps, [X], [Y], [M, scratch], 4)[0].tolist()

    assert result(fill, read) == [2 * v for v in TWICE]
    assert result(fill, Barrier(), shared(call), Barrier(), read) != [2 * v for v in TWICE]
    assert result(shared(call), shared(call), shared(doubled(X, Y, "end"))) == TWICE
    with pytest.raises(RaceError, match=r"one \(core 0\) writes bytes 8\.\.32 of scratch, which one \(core 1\) wrote"):
        result(shared(call), Phase((replace(call, operands=(*call.operands[:2], ("y", Ref(Y)), call.operands[3])),)))


def test_one_core_has_the_scratch_that_its_kernel_asks_for() -> None:
    scratch = Buffer("scratch", Kind.ACT, "l1", 0, 8, F32)

    def part(size: int, at: int, name: str, target: Buffer) -> Call:
        call = doubled(X, target, name)
        kernel = Kernel(type(call.semantics.op), "k.c", "k", "", {}, scratch=lambda _: size)
        return replace(call, kernel=kernel, operands=(*call.operands, ("scratch", Ref(scratch, at))))

    run([Parts((part(16, 0, "low", M), part(16, 4, "high", Y)))], [X], [Y], [M, scratch], 2)
    with pytest.raises(RaceError, match=r"bytes 16\.\.20 of scratch"):
        run([Parts((part(20, 0, "low", M), part(16, 4, "high", Y)))], [X], [Y], [M, scratch], 2)
    with pytest.raises(IndexError, match="20 bytes at 16 of scratch"):
        run([Parts((part(16, 0, "low", M), part(20, 4, "high", Y)))], [X], [Y], [M, scratch], 2)
    with pytest.raises(IndexError, match="40 bytes at 0 of scratch"):
        run([shared(part(20, 0, "all", Y))], [X], [Y], [M, scratch], 2)


def test_fresh_memory_differs_from_seed_to_seed() -> None:
    read = Phase((doubled(L, Y, "read"),))
    results = [run([read], [X], [Y], [L], seed=seed)[0].tobytes() for seed in (1, 1, 2)]
    assert results[0] == results[1] != results[2]


def test_types_and_places_must_fit() -> None:
    whole = Buffer("whole", Kind.ACT, "l1", 0, 8, I32)
    with pytest.raises(TypeError, match="whole has elements of i32"):
        run([Phase((doubled(whole, Y, "bad"),))], [X], [Y], [whole])
    with pytest.raises(IndexError, match="16 bytes at -4 of m"):
        outcome(Phase((add(Ref(X), Ref(X), Ref(M, -1), 4),)))
    odd = Buffer("odd", Kind.ACT, "l1", 2, 8, F32)
    with pytest.raises(ValueError, match="not aligned"):
        run([Phase((doubled(odd, Y, "bad"),))], [X], [Y], [odd])
    with pytest.raises(IndexError, match="not inside of l1"):
        run([], [X], [Y], [Buffer("far", Kind.ACT, "l1", 250, 8, F32)])
    with pytest.raises(ValueError, match="core 2 of 2"):
        outcome(Copy(Ref(L), Ref(X), 4, 0, core=2), cores=2)
