"""Repeated blocks become one loop over a table: one code path, however deep the network is."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from ..ir.program import Call, Column, Loop, Operand, Phase, Ref, Step, Table

MIN_SAVED_CALLS = 2  # a loop must replace at least this many calls


def roll(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Replace the longest runs of equal blocks of phases by loops, from the left, until none is left."""
    keys = [_key(step) for step in steps]
    result: list[Step] = []
    at = 0
    while at < len(steps):
        period, count = _best_run(keys, at)
        if count > 1 and period * (count - 1) >= MIN_SAVED_CALLS:
            result.append(_loop([steps[at + i * period : at + (i + 1) * period] for i in range(count)], len(result)))
            at += period * count
        else:
            result.append(steps[at])
            at += 1
    return tuple(result)


def _key(step: Step) -> Hashable:
    """Equal for phases that differ only in which buffers their operands are."""
    if not isinstance(step, Phase):
        return step
    return step.share, tuple(
        (
            call.kernel.symbol,
            call.scalars,
            call.semantics.op,
            tuple((name, None if o is None else _kind(o)) for name, o in call.operands),
        )
        for call in step.calls
    )


def _kind(operand: Operand) -> Hashable:
    if isinstance(operand, Column):
        return operand
    b = operand.buffer
    return b.kind, b.memory, b.dtype, b.elements, b.packing.name if b.packing else "", operand.offset


def _best_run(keys: list[Hashable], at: int) -> tuple[int, int]:
    """(period, repetitions) of the run from `at` that covers most steps; the shortest period among equals."""
    best, covered = (1, 1), 1
    for period in range(1, (len(keys) - at) // 2 + 1):
        if keys[at] != keys[at + period]:
            continue
        count = 1
        while keys[at : at + period] == keys[at + count * period : at + (count + 1) * period]:
            count += 1
        if count > 1 and count * period > covered:
            best, covered = (period, count), count * period
    return best


def _loop(blocks: list[Sequence[Step]], number: int) -> Loop:
    """One loop for equal blocks; operands that differ between the iterations become columns of its table."""
    per_block = [[ref for step in block for ref in _refs(step)] for block in blocks]
    columns: list[tuple[Ref, ...]] = []
    index: dict[tuple[Ref, ...], int] = {}
    body_operands: list[Operand | None] = []
    for versions in zip(*per_block, strict=True):
        first = versions[0]
        if first is None or all(_same(first, v) for v in versions):
            body_operands.append(first)
            continue
        column = tuple(v for v in versions if v is not None)
        if column not in index:
            index[column] = len(columns)
            columns.append(column)
        body_operands.append(Column(index[column]))
    remaining = iter(body_operands)
    body = tuple(_with_operands(step, remaining) for step in blocks[0])
    names = tuple(column[0].buffer.name for column in columns)
    table = Table(f"loop{number}", names, tuple(zip(*columns, strict=True)) or ((),) * len(blocks))
    return Loop(table, body)


def _refs(step: Step) -> list[Ref | None]:
    assert isinstance(step, Phase)
    return [o for call in step.calls for _, o in call.operands if not isinstance(o, Column)]


def _same(a: Ref, b: Ref | None) -> bool:
    """The same address: the same buffer, or arena buffers at the same place."""
    if b is None or a.offset != b.offset:
        return False
    return a.buffer is b.buffer or (
        a.buffer.offset is not None
        and (a.buffer.memory, a.buffer.offset, a.buffer.dtype) == (b.buffer.memory, b.buffer.offset, b.buffer.dtype)
    )


def _with_operands(step: Step, operands: Iterator[Operand | None]) -> Step:
    assert isinstance(step, Phase)
    calls = []
    for call in step.calls:
        renewed = tuple((name, next(operands)) for name, _ in call.operands)
        calls.append(Call(call.kernel, call.semantics, renewed, call.scalars))
    return Phase(tuple(calls), step.share)
