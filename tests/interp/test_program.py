"""The program interpreter: races are caught, bounds are checked, loops and tables resolve."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.interp.program import Machine, RaceError
from tilewright.ir.graph import Builder, Node
from tilewright.ir.program import Buffer, Call, Column, Copy, Loop, Phase, Program, Ref, Step, Table, Wait
from tilewright.ir.types import F32, Kind, TensorType
from tilewright.ops import Add
from tilewright.targets.base import Kernel

ADD = Kernel(Add, "add.c", "add", "const float *a, const float *b, float *y", {})


def buffer(name: str, kind: Kind, offset: int | None = None) -> Buffer:
    return Buffer(name, kind, "l1" if offset is not None else "caller", offset, 4, F32)


def add_node() -> Node:
    b = Builder("g")
    kind = TensorType((4,), F32)
    b(Add(), b.input("a", kind), b.input("b", kind), name="y")
    return b.nodes[0]


X, Y, L, M = (
    buffer("x", Kind.INPUT), buffer("y", Kind.OUTPUT), buffer("l", Kind.ACT, 0), buffer("m", Kind.ACT, 16)
)  # fmt: skip


def call(a: Ref | Column, b: Ref | Column, y: Ref | Column) -> Phase:
    return Phase((Call(ADD, add_node(), (("a", a), ("b", b), ("y", y)), ()),))


def run(*steps: Step) -> np.ndarray:
    program = Program("p", steps, (X,), (Y,), (), (X, Y, L, M))
    return Machine([program], {"l1": 32}).run(program, [np.arange(4, dtype=np.float32)])[0]


FETCH = Copy(Ref(L), Ref(X), 16, token=1)


def test_a_waited_transfer_is_there() -> None:
    assert run(FETCH, Wait(1), call(Ref(L), Ref(L), Ref(Y))).tolist() == [0, 2, 4, 6]


def test_reading_before_the_wait_fails() -> None:
    with pytest.raises(RaceError, match="before the wait"):
        run(FETCH, call(Ref(L), Ref(L), Ref(Y)), Wait(1))


def test_overwriting_what_a_transfer_still_reads_fails() -> None:
    out = Copy(Ref(Y), Ref(L), 16, token=2)
    with pytest.raises(RaceError):
        run(FETCH, Wait(1), out, call(Ref(X), Ref(X), Ref(L)), Wait(2))


def test_working_elsewhere_meanwhile_is_fine() -> None:
    assert run(FETCH, call(Ref(X), Ref(X), Ref(M)), Wait(1), call(Ref(L), Ref(M), Ref(Y))).tolist() == [0, 3, 6, 9]


def test_a_forgotten_wait_fails() -> None:
    with pytest.raises(RaceError, match="never waited"):
        run(call(Ref(X), Ref(X), Ref(Y)), FETCH)


def test_reads_beyond_a_buffer_fail() -> None:
    with pytest.raises(IndexError):
        run(call(Ref(X, 1), Ref(X), Ref(Y)))


def test_loops_take_operands_from_their_table() -> None:
    table = Table("t", ("source", "target"), ((Ref(X), Ref(L)), (Ref(L), Ref(M))))
    body = call(Column(0), Column(0), Column(1))
    assert run(Loop(table, (body,)), call(Ref(M), Ref(L), Ref(Y))).tolist() == [0, 6, 12, 18]
