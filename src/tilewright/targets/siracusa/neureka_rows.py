"""What rows for N-EUREKA share: what it can compute, and how a node becomes its jobs; products in 1x1 form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ...ir.graph import Node
from ...ir.op import Op
from ...ir.types import I8, I32, U8, Array, maximum
from ...ops import DepthwiseConv2D, Linear
from ...ops.epilogue import Requantise
from ...quant.requant import accumulator_range
from ..base import Kernel, Packing, Rule, Split
from ..host.arguments import product, type_of
from .neureka_job import TILE, Job, Mode, form
from .neureka_weights import Levels, each_output, point_packing
from .requant import NARROW, mode_of
from .share import up

ISSUE = 20.0  # cycles of a core to start a job whose registers are written
DESCRIBE = 100.0  # to write them; the next job of a call can start so long after the one before
BESIDE = 1.08  # times as long that jobs take while eight cores read weights from L1
TURNS = 1, 2, 3  # products whose rows are laid in turns have so many kinds of them
LATENCY = 15.0  # from the end of the last job until a core that waits knows


@dataclass(frozen=True)
class Constants:
    """What the constants of nodes of one shape come to.

    Values of weights, bits of multipliers (0: none), how many there are of each, where these or addends change, and
    after how many they come again (1: they never change, 0: they do not come again).
    """

    levels: Levels
    scale: int
    outputs: int
    changes: tuple[int, ...]
    turn: int


@lru_cache(maxsize=512)
def constants_of(node: Node) -> Constants:
    w, outputs = node.operands["w"].data, maximum(type_of(node, "y").shape[-1])
    assert w is not None
    each = {name: node.operands[name].data for name in ("mul", "add") if name in node.operands}
    mul, changed = each.get("mul"), np.zeros(outputs - 1, bool)
    rows = [data for data in each.values() if data is not None and data.size > 1]
    for data in rows:
        changed |= data[1:] != data[:-1]
    turn = next((t for t in TURNS if all(np.array_equal(data[t:], data[:-t]) for data in rows)), 0)
    scale = 0 if mul is None else 8 if mul.max() <= U8.high else 32
    return Constants(Levels.of(w), scale, outputs, tuple((np.flatnonzero(changed) + 1).tolist()), turn)


def joint(some: Sequence[Constants]) -> Constants:
    """What holds all of them: so layers of a network have the same jobs."""
    levels = Levels.between(min(c.levels.low for c in some), max(c.levels.high for c in some))
    changes = tuple(sorted({at for c in some for at in c.changes}))
    turn = max(c.turn for c in some)
    turn = turn if all(c.turn and turn % c.turn == 0 for c in some) else 0
    return Constants(levels, max(c.scale for c in some), some[0].outputs, changes, turn)


# Rules


def known_constants(node: Node) -> bool:
    """Weights, multipliers and addends are known when the network is compiled"""
    return all(node.operands[name].data is not None for name in ("w", "mul", "add") if name in node.operands)


def bytes_only(node: Node) -> bool:
    """Inputs are of 8 bits, weights of 8 bits or fewer"""
    return type_of(node, "x").dtype in (I8, U8) and type_of(node, "w").dtype.bits <= 8


def fixed_sizes(node: Node) -> bool:
    """All sizes are known when the network is compiled, but for the number of rows of a product"""
    first = 1 if isinstance(node.op, Linear) else 0  # as many rows as there may be are computed
    return all(isinstance(d, int) for name in ("x", "y") for d in type_of(node, name).shape[first:])


def whole_range(node: Node) -> bool:
    """Results are i32, or all of i8 or of u8: there is no narrower clamp, and there are no results of 16 bits"""
    epilogue, y = node.op.attributes.get("epilogue"), type_of(node, "y").dtype
    if not isinstance(epilogue, Requantise):
        return y == I32
    return y in (I8, U8, I32) and (epilogue.low, epilogue.high) == (y.low, y.high)


def folded_bias(node: Node) -> bool:
    """There is no bias beside the addend of a requantisation"""
    return "b" not in node.operands


def positive_multipliers(node: Node) -> bool:
    """Multipliers are not negative"""
    mul = node.operands["mul"].data if "mul" in node.operands else None
    return mul is None or bool((mul >= 0).all())


def narrow_sums(node: Node) -> bool:
    """Sums stay within 32 bits once they are scaled: the engine cuts them there, before the shift"""
    return "mul" not in node.operands or mode_of(node, *_sums(node)) == NARROW


@lru_cache(maxsize=512)
def _sums(node: Node) -> tuple[Array, Array]:
    w, x = node.operands["w"].data, type_of(node, "x").dtype
    assert w is not None
    return accumulator_range(w.transpose(2, 0, 1) if isinstance(node.op, DepthwiseConv2D) else w, x.low, x.high)


RULES: tuple[Rule, ...] = (
    known_constants, bytes_only, fixed_sizes, whole_range, folded_bias, positive_multipliers, narrow_sums,
)  # fmt: skip

# Rows


def finished(node: Node, constants: Constants) -> Callable[..., Job]:
    """`Job` with what does not depend on the arrangement: types, scale, shift."""
    epilogue, y = node.op.attributes.get("epilogue"), type_of(node, "y").dtype
    shift = min(epilogue.shift, 31) if isinstance(epilogue, Requantise) else 0

    def job(mode: Mode, **sizes: int | tuple[int, ...]) -> Job:
        return Job(
            mode, levels=constants.levels, signed=type_of(node, "x").dtype.is_signed, result=y.bits,
            result_signed=y.is_signed, scale=constants.scale, shift=shift, **sizes,  # type: ignore[arg-type]
        )  # fmt: skip

    return job


Splits = Callable[[Node], Split | None]
Jobs = Callable[[Node, Constants], Sequence[Job]]
Packings = Callable[[Node, Constants], Mapping[str, Packing]]


def row(
    op: type[Op], name: str, jobs: Jobs, packings: Packings, *rules: Rule, split: Splits = lambda _: None,
    whole: bool = False,
) -> Kernel:  # fmt: skip
    """A table row: an arrangement of an operator as jobs, one after the other.

    `split`: what cores may take of a node. `whole`: weights lie so that a bound row computes all outputs or none.
    """

    def bind(kernel: Kernel, nodes: Sequence[Node]) -> Kernel:
        node, constants = nodes[0], joint([*map(constants_of, nodes)])
        found = lru_cache(maxsize=64)(lambda piece: jobs(piece, constants))
        return replace(
            kernel, packing=packings(node, constants), arguments=lambda piece: form(found(piece)),
            cycles=lambda piece: time_of(found(piece)), bind=None,
            requires=(*kernel.requires, *([all_of(constants.outputs)] if whole else ())),
        )  # fmt: skip

    return Kernel(
        op, "neureka.c", f"tw_neureka_{name}",
        "const int8_t *w, const void *x, void *y, const void *mul, const int32_t *form, const void *add,"
        " int32_t jobs", {},
        requires=(*RULES, *rules), direct=frozenset({"w"}), engine="neureka", bind=bind,
        cycles=lambda node: time_of(jobs(node, constants_of(node))), split=split,
    )  # fmt: skip


def all_of(outputs: int) -> Rule:
    """A rule for pieces of a node."""

    def rule(piece: Node) -> bool:
        """All outputs at once: their weights are interleaved"""
        return type_of(piece, "y").shape[-1] == outputs

    return rule


def time_of(jobs: Sequence[Job]) -> float:
    """Cycles of the jobs of a call: one is described while the one before it runs."""
    lengths = [job.cycles() for job in jobs]
    return max(sum(lengths), DESCRIBE * (len(jobs) - 1) + lengths[-1])


def by_output(node: Node, constants: Constants) -> dict[str, Packing]:
    """Multipliers and addends, one for each output, where they are not stored so already."""
    found: dict[str, Packing] = {}
    for name, bits in (("mul", constants.scale), ("add", 32)) if constants.scale else ():
        kind = type_of(node, name)
        if kind.size != constants.outputs or kind.dtype.bits != bits:
            copies = constants.outputs if kind.size == 1 else 1  # one of many, in a piece of one output, is not for all
            found[name] = each_output(copies, kind.dtype.numpy, bits)
    return found


# Products: rows of inputs as the pixels of an image


def grid(tokens: int) -> tuple[int, int, int]:
    """Rows of an image, its columns, and pixels from one row to the next, that hold so many tokens in fewest tiles.

    Rows may overlap: the tokens in two of them are computed twice.
    """
    found = []
    for columns in range(1, min(tokens, TILE) + 1):
        for step in range(1, columns + 1):
            rows, left = divmod(tokens - columns, step)
            if not left:
                found.append((up(rows + 1, TILE), (rows + 1) * columns, rows + 1, columns, step))
    return min(found)[2:]


def points(node: Node, constants: Constants, tokens: int, inputs: int) -> Sequence[Job]:
    """1x1 jobs for rows of inputs that follow each other in memory."""
    outputs, job = maximum(type_of(node, "y").shape[-1]), finished(node, constants)
    size = type_of(node, "y").dtype.bits // 8 * outputs

    def block(rows: int, columns: int, step: int, first: int) -> Job:
        return job(
            Mode.POINT, inputs=inputs, outputs=outputs, rows=rows, columns=columns, x_at=first * inputs,
            in_strides=(inputs, step * inputs), out_strides=(size, step * size), y_at=first * size,
        )  # fmt: skip

    whole = [block(*grid(tokens), 0)]
    if tokens <= TILE * TILE:
        return whole
    full = tokens // (TILE * TILE) * TILE  # rows of six, in whole tiles
    parts = [block(full, TILE, TILE, 0), block(TILE, TILE, TILE, tokens - TILE * TILE)]
    return min((whole, parts), key=time_of)


def _points(node: Node, constants: Constants) -> Sequence[Job]:
    tokens = maximum(product(type_of(node, "x").shape[:-1]))
    return points(node, constants, tokens, type_of(node, "w").static_shape[1])


def point_packings(node: Node, constants: Constants) -> Mapping[str, Packing]:
    return {"w": point_packing(constants.levels.low), **by_output(node, constants)}


def outputs_of_one_row(node: Node) -> Split | None:
    """Of a product of one row, cores may have some outputs: they lie side by side, bytes in eights."""
    return Split(("o",), 64 // type_of(node, "y").dtype.bits) if product(type_of(node, "x").shape[:-1]) == 1 else None


POINTS = row(Linear, "1x1", _points, point_packings, split=outputs_of_one_row)
