"""Rows that move data, split so that every core copies."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

from ...ir.graph import Node
from ...ir.op import Op
from ...ir.types import DTYPES, TensorType, nominal
from ...ops import Concat, Copy, Expand, Gather, Pad, RowsAt, Slice, Transpose, Windows
from ..base import Argument, Kernel, Split
from ..host.arguments import type_of
from ..host.generic import elements, few_axes, retyped, size, whole_bytes
from ..host.generic import split as around
from ..host.generic_index import gather
from ..host.generic_move import expand, pad, rows_at, slice_, transpose, windows
from .share import CORES, flat, per_core

Arguments = Mapping[str, Argument]
SHORT = 16  # as in kernels/move.c
LARGE = 32 << 10  # bytes: an operand of which a gather reads rows where they are
# Cycles on the chip's simulator: of a core for four bytes in a row, for an element out of one, for a row or column.
PER_WORD, PER_ELEMENT, PER_ROW = 2.35, 2.5, 91.0
_RANGE = "int first, int last"


def _blocks(node: Node, block: int) -> Split:
    """In whole blocks of elements, where there are enough of them."""
    dims = flat(node).dims
    total = elements(node) if type_of(node, "y").rank == len(dims) else 0
    return Split(dims, block if block and total // block >= CORES else 1)


def _rows_cycles(node: Node) -> float:
    """Of a table in weight memory."""
    count = math.prod(nominal(d) for d in type_of(node, "y").shape)
    return 90.0 + 20 * -(-per_core(count) * size(node, "y") // 4)


def _row_length(table: Argument) -> int:
    assert isinstance(table, tuple)
    return table[2 * table[0]]


def _strided(arguments: Callable[[Node], Arguments]) -> Callable[[Node], Arguments]:
    def renamed(node: Node) -> Arguments:
        found = arguments(node)
        return {"size": found["size"], "start": found["first"], "rows": found["rows"]}

    return renamed


def _strided_split(arguments: Callable[[Node], Arguments]) -> Callable[[Node], Split]:
    """Rows that are short stay whole: their columns are copied side by side."""

    def split(node: Node) -> Split:
        length = _row_length(arguments(node)["rows"])
        return _blocks(node, length if length < SHORT else 1)

    return split


def _strided_cycles(arguments: Callable[[Node], Arguments]) -> Callable[[Node], float]:
    def cycles(node: Node) -> float:
        table, width = arguments(node)["rows"], size(node, "y")
        assert isinstance(table, tuple)
        own, (length, step) = per_core(elements(node)), table[-2:]
        if step == 1 and (length >= SHORT or table[0] == 1):
            return 370.0 + PER_ROW * math.ceil(own / max(1, length)) + PER_WORD * own * width / 4
        rows = math.ceil(own / max(1, length))
        if length < SHORT and table[0] > 1:
            rows = length * math.ceil(rows / max(1, table[-4]))
        each = 4.5 if width == 4 and own % 16 == 0 and length >= SHORT else PER_ELEMENT * max(1, width // 4)
        return 580.0 + PER_ROW * rows + each * own

    return cycles


def _matrices(node: Node) -> tuple[int, int] | None:
    """Rows and columns of the matrices that a node turns, None where it is something else."""
    axes, _, *table = cast(tuple[int, ...], transpose(node)["rows"])
    if axes not in (2, 3):
        return None
    (columns, apart), (rows, step) = zip(table[-4::2], table[-3::2], strict=True)
    whole = axes == 2 or table[1] == rows * columns
    return (rows, columns) if apart == 1 and step == columns and whole else None


def turns_bytes(node: Node) -> bool:
    """Matrices of bytes are turned whose rows and columns are multiples of 4."""
    found = _matrices(node)
    return size(node, "x") == 1 and found is not None and found[0] % 4 == found[1] % 4 == 0


def turns_colours(node: Node) -> bool:
    """Matrices of bytes are turned that have three rows"""
    found = _matrices(node)
    return size(node, "x") == 1 and found is not None and found[0] == 3


def _colours_cycles(node: Node) -> float:
    """Words of two rows begin anywhere where columns are no multiple of 4."""
    return 175.0 + (1.3 if _turned(node)["columns"] % 4 == 0 else 1.8) * per_core(elements(node), 12)


def _turned(node: Node) -> dict[str, int]:
    rows, columns = _matrices(node) or (4, 4)
    return {"rows": rows, "columns": columns}


def _turned_cycles(node: Node) -> float:
    rows = _turned(node)["rows"]
    return 330.0 + per_core(elements(node), 4 * rows) * (18.0 / 16 + 47.0 / (4 * rows))


def _bytes_turned(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
    """Examples of matrices of bytes."""
    from hypothesis import strategies as st

    count, rows, columns = draw(st.integers(1, 3)), 4 * draw(st.integers(1, 12)), 4 * draw(st.integers(1, 12))
    return Transpose((0, 2, 1)), (TensorType((count, rows, columns), DTYPES[draw(st.sampled_from(["i8", "u8"]))]),)


def _colours_turned(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
    """Examples of matrices of three rows of bytes."""
    from hypothesis import strategies as st

    count, columns = draw(st.integers(1, 3)), draw(st.integers(2, 200))
    return Transpose((0, 2, 1)), (TensorType((count, 3, columns), DTYPES[draw(st.sampled_from(["i8", "u8"]))]),)


def _concat(node: Node) -> Arguments:
    names = [name for name in node.operands if name != "y"]
    parts = [around(node, name, cast(Concat, node.op).axis) for name in names]
    extents = tuple(extent for _, extent, _ in parts)
    return {
        "size": size(node, "y"), "count": len(names), "total": sum(extents), "inner": parts[0][2], "extents": extents,
    }  # fmt: skip


def _concat_split(node: Node) -> Split:
    outer, _, inner = around(node, "y", cast(Concat, node.op).axis)
    return Split(flat(node).dims, inner if outer >= CORES else 1)


def _concat_cycles(node: Node) -> float:
    found, (outer, total, inner) = _concat(node), around(node, "y", cast(Concat, node.op).axis)
    width, rows = size(node, "y"), per_core(outer)
    if outer < CORES:
        return 480.0 + 45.0 * outer * total + PER_WORD * elements(node) / CORES * width / 4
    blocks = [inner * extent * width for extent in cast(tuple[int, ...], found["extents"])]
    return 200.0 + sum(_placed(bytes_, sum(blocks), rows, width) for bytes_ in blocks)


def _placed(bytes_: int, total: int, rows: int, width: int) -> float:
    """Rows of bytes that go to where rows are `total` bytes apart."""
    if bytes_ % 4 == total % 4 == 0:
        words = bytes_ // 4
        return 90.0 + rows * ((3.2 if words % 2 else 2.2) * words + 4)
    if bytes_ < SHORT * width:
        return bytes_ / width * (80.0 + PER_ELEMENT * rows)
    return rows * (80.0 + PER_WORD * bytes_ / 4)


def _pad(node: Node) -> Arguments:
    found = pad(node)
    return {"size": found["size"], "start": found["first"], "value": found["value"], "rows": found["rows"]}


def _pad_cycles(node: Node) -> float:
    table = pad(node)["rows"]
    assert isinstance(table, tuple)
    filled, moved = per_core(elements(node)) * size(node, "y"), per_core(elements(node, "x")) * size(node, "y")
    row = max(1, table[2 * table[0]]) * size(node, "y")
    even = type_of(node, "x").static_shape[-1] * size(node, "y") % 4 == 0  # rows begin where words do
    each = 95.0 if even else 150.0 + 0.7 * row
    return 1100.0 + 0.3 * filled + each * math.ceil(moved / row) + PER_WORD * moved / 4


def runs_of_bytes(node: Node) -> bool:
    """Windows of bytes, whose columns are next to each other in the image"""
    op = cast(Windows, node.op)
    return size(node, "x") == 1 and (op.dilation[1] == 1 or op.kernel[1] == 1)


def _windows(node: Node) -> Mapping[str, int]:
    op, (_, h, w, c) = cast(Windows, node.op), type_of(node, "x").static_shape
    _, high, wide, rows, columns, _ = type_of(node, "y").static_shape
    return {
        "rows": rows, "run": columns * c, "down": op.dilation[0] * w * c, "aside": op.stride[1] * c,
        "below": op.stride[0] * w * c, "wide": wide, "high": high, "image": h * w * c,
    }  # fmt: skip


def _whole_windows(node: Node) -> Split:
    return Split(flat(node).dims, math.prod(type_of(node, "y").static_shape[3:]))


def _windows_cycles(node: Node) -> float:
    found = _windows(node)
    rows, run = found["rows"], found["run"]
    own = per_core(elements(node), rows * run) // (rows * run)
    across = _across(math.gcd(4, *(found[name] for name in ("run", "down", "aside"))))
    return 100.0 + 18.0 * math.ceil(own / found["wide"]) + own * (12 + rows * _run_cycles(run, across))


def _across(step: int) -> float:
    """Cycles of a load and a store that may each cross a word, where addresses are multiples of this."""
    return {1: 3.4, 2: 2.2, 4: 0.0}[step]


def _run_cycles(run: int, across: float) -> float:
    if run < 4:
        return 3.0 + 3 * run
    words = -(-(run % 8) // 4) if run > 7 else 2  # behind those of the loop
    return 1.0 + (4 + 2 * across) * (run // 8) + 3 * max(1, words) + 0.7 * across * words


def _byte_windows(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
    """Examples of runs of 1 to 40 bytes."""
    from hypothesis import strategies as st

    kernel = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    stride, dilation = (draw(st.integers(1, 3)), draw(st.integers(1, 3))), (draw(st.integers(1, 2)), 1)
    h, w = (d * (k - 1) + 1 + draw(st.integers(0, 9)) for k, d in zip(kernel, dilation, strict=True))
    kind = DTYPES[draw(st.sampled_from(["i8", "u8"]))]
    return Windows(kernel, stride, dilation), (
        TensorType((draw(st.integers(1, 2)), h, w, draw(st.integers(1, 8))), kind),
    )


def _gather(node: Node) -> Arguments:
    found = gather(node)
    _, _, inner = around(node, "x", cast(Gather, node.op).axis)
    kept = {name: found[name] for name in ("wide", "extent", "count")}
    return {**kept, "size": size(node, "x"), "inner": inner}


def _gather_split(node: Node) -> Split:
    return _blocks(node, cast(int, _gather(node)["inner"]))


def _gather_cycles(node: Node) -> float:
    own, inner = per_core(elements(node)), cast(int, _gather(node)["inner"])
    per_word = 8.5 if type_of(node, "x").size * size(node, "x") > LARGE else PER_WORD
    words = per_word * own * size(node, "y") / 4 if inner > 1 else 0.0
    return 180.0 + 68.0 * math.ceil(own / max(1, inner)) + words


def large_table(node: Node) -> bool:
    """The operand has more than 32 KiB."""
    return type_of(node, "x").size * size(node, "x") > LARGE


def _large(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
    """Examples with a large table."""
    from hypothesis import strategies as st

    indices = TensorType((draw(st.integers(1, 20)),), DTYPES[draw(st.sampled_from(["i32", "i64"]))])
    return Gather(0), (TensorType((draw(st.integers(300, 400)), draw(st.integers(30, 70))), DTYPES["f32"]), indices)


def _gather_row(direct: bool) -> Kernel:
    return Kernel(
        Gather, "move.c", "tw_gather_part",
        "const void *x, const void *indices, void *y, int wide, int size, int extent, int count, int inner,"
        f" {_RANGE}",
        {}, _gather, (whole_bytes, *((large_table,) if direct else ())), cycles=_gather_cycles, split=_gather_split,
        direct=frozenset({"x"} if direct else ()),
        examples=_large if direct else retyped(Gather, "x"),
    )  # fmt: skip


MOVE = (
    Kernel(
        Copy, "move.c", "tw_copy_part", f"const void *x, void *y, int size, {_RANGE}", {},
        lambda node: {"size": size(node, "y")}, (whole_bytes,), in_place={"y": "x"}, split=flat,
        cycles=lambda node: 150.0 + PER_WORD * per_core(elements(node)) * size(node, "y") / 4,
        examples=retyped(Copy, "x"),
    ),
    Kernel(
        RowsAt, "move.c", "tw_rows_part",
        f"const void *restrict x, void *restrict y, int size, int start, {_RANGE}", {}, rows_at, (whole_bytes,),
        split=flat, direct=frozenset({"x"}), examples=retyped(RowsAt, "x"),
        cycles=_rows_cycles,
    ),
    Kernel(
        Transpose, "turn_bytes.c", "tw_turn_bytes",
        f"const uint8_t *x, uint8_t *y, int rows, int columns, {_RANGE}", {}, _turned, (turns_bytes,),
        split=lambda node: Split(flat(node).dims, 4 * _turned(node)["rows"]), cycles=_turned_cycles,
        examples=_bytes_turned,
    ),
    Kernel(
        Transpose, "turn_bytes.c", "tw_turn_three",
        f"const uint8_t *restrict x, uint8_t *restrict y, int columns, {_RANGE}", {},
        lambda node: {"columns": _turned(node)["columns"]}, (turns_colours,),
        split=lambda node: Split(flat(node).dims, 12), examples=_colours_turned,
        cycles=_colours_cycles,
    ),
    Kernel(
        Windows, "windows.c", "tw_windows_of_bytes",
        "const uint8_t *restrict x, uint8_t *restrict y, int rows, int run, int down, int aside, int below, int wide,"
        f" int high, int image, {_RANGE}",
        {}, _windows, (runs_of_bytes,), split=_whole_windows, cycles=_windows_cycles, examples=_byte_windows,
    ),
    *(
        Kernel(
            op, "move.c", "tw_strided_part",
            f"const void *x, void *y, int size, int start, const int32_t *rows, {_RANGE}", {}, _strided(arguments),
            (whole_bytes, few_axes(arguments)), split=_strided_split(arguments), cycles=_strided_cycles(arguments),
            examples=retyped(op, "x"),
        )
        for op, arguments in ((Transpose, transpose), (Slice, slice_), (Expand, expand), (Windows, windows))
    ),
    Kernel(
        Concat, "move.c", "tw_concat_part",
        "const void *const *x, void *y, int size, int count, int total, int inner, const int32_t *extents,"
        f" {_RANGE}",
        {}, _concat, (whole_bytes,), split=_concat_split, cycles=_concat_cycles, examples=retyped(Concat, "x"),
    ),
    Kernel(
        Pad, "move.c", "tw_pad_part",
        f"const void *x, void *y, int size, int start, const int32_t *value, const int32_t *rows, {_RANGE}",
        {}, _pad, (whole_bytes, few_axes(pad)), split=flat, cycles=_pad_cycles,
        examples=retyped(Pad, "x", dtypes=("i8", "i16", "i32", "i64", "f32", "f64")),
    ),
    _gather_row(True),
    _gather_row(False),
)  # fmt: skip
