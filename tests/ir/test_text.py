"""Programs as text."""

from __future__ import annotations

from tests.interp.programs import add, buffer, shared
from tests.interp.test_mutants import double_buffered
from tilewright.ir.program import Barrier, Buffer, Copy, Job, Loop, Parts, Phase, Program, Ref, Wait
from tilewright.ir.text import program_text
from tilewright.ir.types import I8, Kind, Sym

X, Y, L = buffer("x", 8, kind=Kind.INPUT), buffer("y", 8, kind=Kind.OUTPUT), buffer("l", 8, 32)


def test_every_step_is_a_line() -> None:
    n = Sym("n", 4, 2)
    call = add(Ref(X), Ref(X, n), Ref(L), 8, "sum")
    member = Buffer("bias", Kind.CONST, "l2", 4, 2, I8)
    struct = Buffer("layer", Kind.CONST, "l2", None, 8, I8, members=(member,))
    steps = (
        Copy(Ref(L), Ref(X), 4, 3, lines=n, stride=8, core=1), Wait(3, core=1), Barrier(),
        Copy(Ref(L), Ref(X), 4, 3, 2, 8, blocks=2, apart=16),
        Phase((call,)), shared(call, 2), Parts((None, call)), Job(call, 5, core=2), Wait(5, core=2),
    )  # fmt: skip
    assert program_text(Program("p", steps, (X,), (Y,), (n,), (X, Y, L, struct))).splitlines() == [
        "program p(n <= 4)",
        "  input x: f32[8] in caller",
        "  output y: f32[8] in caller",
        "  act l: f32[8] in l1 + 32",
        "  const layer: i8[8] in l2",
        "    const bias: i8[2] in l2 + 4",
        "  copy #3 on core 1: l@32 = x, 4 bytes x n lines, 8 apart",
        "  wait #3 on core 1",
        "  barrier",
        "  copy #3 on core 0: l@32 = x, 4 bytes x 2 lines, 8 apart x 2 blocks, 16 apart",
        "  phase on core 0",
        "    add(a=x, b=x + n, y=l@32)  # sum",
        "  phase on all cores: 8 of i0 in steps of 2",
        "    add(a=x, b=x + n, y=l@32)  # sum",
        "  parts",
        "    core 1: add(a=x, b=x + n, y=l@32)  # sum",
        "  job #5 of cpu on core 2: add(a=x, b=x + n, y=l@32)  # sum",
        "  wait #5 on core 2",
    ]


def test_loops_name_their_columns() -> None:
    steps = double_buffered()
    lines = program_text(Program("p", steps, (X,), (Y,), (), ())).splitlines()
    loop = next(step for step in steps if isinstance(step, Loop))
    at = lines.index(f"  loop over {len(loop.table.rows)} rows of tiles")
    assert lines[at + 3] == "    copy #0 on core 0: tiles.into = tiles.tile, 24 bytes"
    assert "  tiles[0] = in0@0, x + 12, in1@24, out1@72, y + 6" in lines
