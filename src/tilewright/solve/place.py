"""Addresses: pack blocks that live at different times into as few bytes as possible.

`place` first tries first-fit in a few orders, which meets the lower bound for most networks; where it does not, CP-SAT
searches for the optimum. Deterministic: one worker, fixed seed.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

from ..debug import debug
from ..ir.plan import Block

WORD = 8  # bytes of the largest element: an arena is a whole number of them


def lower_bound(blocks: Sequence[Block]) -> int:
    """Most bytes alive at one step: no placement needs fewer."""
    steps = {b.first for b in blocks}
    return max((sum(b.bytes for b in blocks if b.first <= step <= b.last) for step in steps), default=0)


def peak_step(blocks: Sequence[Block]) -> int:
    """The step at which most bytes are alive."""
    return max(
        sorted({b.first for b in blocks}),
        key=lambda step: sum(b.bytes for b in blocks if b.first <= step <= b.last),
        default=0,
    )


def place(
    blocks: Sequence[Block], alignment: int = 16, seconds: float = 5.0, enough: int = 0,
    ties: Mapping[str, Hashable] | None = None,
) -> tuple[tuple[Block, ...], int]:  # fmt: skip
    """Blocks with offsets, and the bytes that they need together; the search ends where those are `enough`.

    `ties`: blocks (by name) of one tie get one offset; they are of one size and never alive together.
    """
    padded = [replace(b, bytes=-(-b.bytes // alignment) * alignment) for b in blocks]
    bound = lower_bound(padded)
    orders = (
        lambda b: (-b.bytes, b.first),
        lambda b: (-(b.last - b.first), -b.bytes, b.first),
        lambda b: (b.first, -b.bytes),
        lambda b: (-b.bytes * (b.last - b.first + 1), b.first),
    )
    groups = _groups(padded, ties or {})
    best = min(
        (_first_fit(sorted(groups, key=lambda g: order(g[0]))) for order in orders), key=lambda r: r[1]
    )  # fmt: skip
    debug(5, lambda: f"first-fit packs {len(blocks)} blocks into {best[1]:,} bytes, the bound is {bound:,}")
    if best[1] > max(bound, enough) and seconds and not ties and 1 < len(blocks) <= 400:
        best = _search(padded, max(bound, enough // alignment * alignment), best, alignment, seconds)
        debug(5, lambda: f"CP-SAT packs them into {best[1]:,}")
    placed = tuple(replace(b, offset=best[0][b.name]) for b in blocks)
    end = max((b.offset + b.bytes for b in placed), default=0)
    return placed, -(-end // WORD) * WORD


def _groups(blocks: list[Block], ties: Mapping[str, Hashable]) -> list[list[Block]]:
    """Blocks that share an offset; the longest lived one first."""
    tied: dict[Hashable, list[Block]] = {}
    for block in blocks:
        tied.setdefault(ties.get(block.name, block.name), []).append(block)
    return [sorted(group, key=lambda b: b.first - b.last) for group in tied.values()]


def _first_fit(order: list[list[Block]]) -> tuple[dict[str, int], int]:
    placed: list[tuple[list[Block], int]] = []
    for group in order:
        at = 0
        rivals = [(o[0].bytes, s) for o, s in placed if any(a.overlaps_in_time(b) for a in o for b in group)]
        for size, start in sorted(rivals, key=lambda pair: pair[1]):
            if at + group[0].bytes <= start:
                break
            at = max(at, start + size)
        placed.append((group, at))
    offsets = {block.name: at for group, at in placed for block in group}
    return offsets, max((at + group[0].bytes for group, at in placed), default=0)


def _search(
    blocks: list[Block], bound: int, hint: tuple[dict[str, int], int], alignment: int, seconds: float
) -> tuple[dict[str, int], int]:
    """Rectangle packing by CP-SAT, in units of the alignment; the hint's answer where the search finds no better."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    most = hint[1] // alignment
    height = model.new_int_var(bound // alignment, most, "height")
    starts, times, spaces = {}, [], []
    for b in blocks:
        size = b.bytes // alignment
        start = model.new_int_var(0, most - size, b.name)
        starts[b.name] = start
        times.append(model.new_fixed_size_interval_var(b.first, b.last - b.first + 1, ""))
        spaces.append(model.new_fixed_size_interval_var(start, size, ""))
        model.add(start + size <= height)
        model.add_hint(start, hint[0][b.name] // alignment)
    model.add_no_overlap_2d(times, spaces)
    model.minimize(height)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    solver.parameters.max_deterministic_time = seconds
    if solver.solve(model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return hint
    offsets = {name: solver.value(start) * alignment for name, start in starts.items()}
    return offsets, max(offsets[b.name] + b.bytes for b in blocks)
