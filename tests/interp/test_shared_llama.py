"""Whole networks shared by cores: every core count gives the graph's bits, and barriers that are missing are found."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from tests.llamas import SHAPES, checkpoint, model, vocabulary
from tilewright.api import compile_model
from tilewright.compiled import Compiled
from tilewright.interp.program import Machine, RaceError
from tilewright.ir.graph import Node
from tilewright.ir.program import Barrier, Buffer, Call, Loop, Phase, Program, Ref, Share, Step
from tilewright.ir.types import I8, Dim, Expr, Kind
from tilewright.options import Options
from tilewright.quant.calibrate import CalibrationText
from tilewright.quant.lower import Recipe, language_model
from tilewright.targets.host.target import HOST

MOST = 8  # cores


def share_of(call: Call) -> Share:
    """All parallel dimensions, in their order."""
    node = call.semantics
    domain = node.op.domain(*node.types)
    extents = domain.extents({name: kind.shape for name, kind in call.types().items()})
    sizes = [extents[name] for name in domain.parallel]
    symbolic = [size for size in sizes if not isinstance(size, int)]
    fixed = math.prod(size for size in sizes if isinstance(size, int))
    total: Dim = (Expr.of(symbolic[0]) * fixed).simplified() if symbolic else fixed
    return Share(total, 1, domain.parallel)


def for_cores(call: Call, scratch: list[Buffer]) -> Call:
    """The call with scratch for every core; its plan has it for one."""
    if "scratch" not in dict(call.operands):
        return call
    size = MOST * call.kernel.scratch(call.semantics)
    scratch.append(Buffer(f"{call.semantics.name}.scratch", Kind.ACT, "ram", None, size, I8))
    operands = tuple((name, Ref(scratch[-1]) if name == "scratch" else operand) for name, operand in call.operands)
    return replace(call, operands=operands)


def shared(program: Program) -> Program:
    """Every call shared by all cores, and a barrier after it."""
    scratch: list[Buffer] = []

    def of(steps: tuple[Step, ...]) -> Iterator[Step]:
        for step in steps:
            if isinstance(step, Loop):
                yield replace(step, body=tuple(of(step.body)))
            else:
                assert isinstance(step, Phase)
                for call in step.calls:
                    yield from (Phase((for_cores(call, scratch),), share_of(call)), Barrier())

    return replace(program, steps=tuple(of(program.steps)), buffers=(*program.buffers, *scratch))


def without(steps: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    """One barrier less, each in turn."""
    for at, step in enumerate(steps):
        rest = steps[:at], steps[at + 1 :]
        if isinstance(step, Barrier):
            yield (*rest[0], *rest[1])
        elif isinstance(step, Loop):
            yield from ((*rest[0], replace(step, body=body), *rest[1]) for body in without(step.body))


def outputs(compiled: Compiled, programs: tuple[Program, ...], cores: int, seed: int = 0) -> list[np.ndarray]:
    """A prompt of three tokens and one more."""
    machine = Machine(programs, compiled.plan.capacity, cores, seed=seed)
    results = machine.run(programs[0], [np.array([1, 7, 9])], {"n": 3, "pos": 0})
    return results + machine.run(programs[1], [np.array([4])], {"pos": 3})


@pytest.fixture(scope="module", params=["none", "int8"])
def compiled(request: pytest.FixtureRequest) -> Compiled:
    if request.param == "none":
        return compile_model(model(SHAPES[0]), HOST, Options())
    recipe = Recipe("int8", CalibrationText.read())
    return compile_model(language_model(checkpoint(SHAPES[0]), vocabulary(), 8, recipe), HOST, Options())


def test_any_number_of_cores_gives_the_same_bits(compiled: Compiled) -> None:
    programs = tuple(map(shared, compiled.programs))
    expected = outputs(compiled, compiled.programs, 1)
    for cores in (1, 3, MOST):
        for got, want in zip(outputs(compiled, programs, cores, cores), expected, strict=True):
            np.testing.assert_array_equal(got, want)


def nodes(steps: tuple[Step, ...]) -> Iterator[Node]:
    for step in steps:
        if isinstance(step, Loop):
            yield from nodes(step.body)
        elif isinstance(step, Phase):
            yield from (call.semantics for call in step.calls)


def fails(compiled: Compiled, prefill: Program) -> bool:
    try:
        Machine([prefill], compiled.plan.capacity, MOST).run(prefill, [np.array([1, 7, 9])], {"n": 3, "pos": 0})
    except RaceError:
        return True
    return False


def test_missing_barriers_are_found(compiled: Compiled) -> None:
    """A norm or a product reads rows, which several cores made; the next phase of other operands may well overlap."""
    prefill = shared(compiled.programs[0])
    assert not fails(compiled, prefill)
    made = zip(nodes(prefill.steps), without(prefill.steps), strict=True)
    needed = {node: fails(compiled, replace(prefill, steps=steps)) for node, steps in made}
    by_rows = ("Embed", "RMSNorm", "Attention", "SwiGLU")
    assert all(needed[node] for node in needed if type(node.op).__name__.removeprefix("Quantised") in by_rows)
    independent = ("v", "k_append", "gate", "up", "logits")
    assert not any(needed[node] for node in needed if node.name.split(".")[-1] in independent)
