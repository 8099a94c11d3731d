"""Repeated blocks become one loop over a table: one code path, however deep the network is."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace

from ..ir.program import Call, Column, Copy, Job, Loop, Operand, Parts, Phase, Ref, Step, Table
from ..ir.repeats import best_run
from .last_round import NOTHING, Group, Moved, Pair, align, in_groups, steps_of

MIN_SAVED_STEPS = 2  # a loop must replace at least this many steps


Safe = Callable[[Sequence[Step], Sequence[Moved]], bool]  # steps, and what moved among them


def never(steps: Sequence[Step], moved: Sequence[Moved]) -> bool:  # noqa: ARG001
    """No order of steps but the given one is known to be safe."""
    return False


def roll(steps: Sequence[Step], safe: Safe = never) -> tuple[Step, ...]:
    """Replace the longest runs of equal blocks of steps by loops, from the left, until none is left.

    Transfers that share a token stay together: a block does not end between them. A last block may have other
    transfers than the rest; then it waits and meets where the rest do, if that is `safe`.
    """
    known: dict[Hashable, int] = {}
    groups = in_groups(steps)
    keys = [known.setdefault(tuple(map(_key, group)), len(known)) for group in groups]
    result: list[Step] = []
    at = 0
    while at < len(groups):
        period, count = best_run(keys, at)
        blocks = [groups[at + i * period : at + (i + 1) * period] for i in range(count)]
        if count > 1 and len(_flat(blocks[0])) * (count - 1) >= MIN_SAVED_STEPS:
            at += period * count
            pairs, behind, length, moved = align(blocks[-1], keys[at - period : at], groups[at:], keys[at:])
            changed = [*_flat(groups[:at]), *steps_of(pairs), *behind, *_flat(groups[at + length :])]
            if pairs and safe(changed, moved):
                blocks = [_like(block, pairs) for block in blocks]
                blocks.append([pair.of_last for pair in pairs])
                at += length
            else:
                behind = []
            result += [_loop([_flat(block) for block in blocks], len(result)), *behind]
        else:
            result += groups[at]
            at += 1
    return tuple(result)


def _flat(groups: Iterable[Group]) -> list[Step]:
    return [step for group in groups for step in group]


def _like(block: Sequence[Group], pairs: Sequence[Pair]) -> list[Group]:
    """A block with places for the transfers of the last round alone."""
    own = iter(block)
    return [pair.of_others(next(own) if pair.others is not None else None) for pair in pairs]


def _key(step: Step) -> Hashable:
    """Equal for steps that differ only in where their operands are."""
    match step:
        case Phase():
            return step.share, tuple(map(_call_key, step.calls))
        case Parts():
            return tuple(None if call is None else _call_key(call) for call in step.calls)
        case Job():
            return step.token, step.core, _call_key(step.call)
        case Copy():
            return replace(step, target=Column(0), source=Column(1)), _kind(step.target), _kind(step.source)
        case _:
            return step


def _call_key(call: Call) -> Hashable:
    operands = tuple((name, None if o is None else _kind(o)) for name, o in call.operands)
    shapes = tuple(value.type.shape for value in call.semantics.operands.values())
    return call.kernel.symbol, call.scalars, call.semantics.op, shapes, operands


def _kind(operand: Operand) -> Hashable:
    if isinstance(operand, Column):
        return operand
    b = operand.buffer
    moving = None if isinstance(operand.offset, int) else operand.offset  # a table holds constant addresses
    return b.kind, b.memory, b.dtype, b.packing.name if b.packing else "", moving


def _loop(blocks: Sequence[Sequence[Step]], number: int) -> Loop:
    """One loop for equal blocks; operands that differ between the iterations become columns of its table."""
    per_block = [[ref for step in block for ref in _refs(step)] for block in blocks]
    columns: list[tuple[Ref | None, ...]] = []
    index: dict[tuple[Hashable, ...], int] = {}
    body_operands: list[Operand | None] = []
    for versions in zip(*per_block, strict=True):
        first = versions[0]
        if first is None or all(v is not None and _address(first) == _address(v) for v in versions):
            body_operands.append(first)
            continue
        column = tuple(None if v is NOTHING else v for v in versions if v is not None)
        key = tuple(None if ref is None else _address(ref) for ref in column)
        if key not in index:
            index[key] = len(columns)
            columns.append(column)
        body_operands.append(Column(index[key]))
    remaining = iter(body_operands)
    body = tuple(_with_operands(step, remaining) for step in blocks[0])
    names = tuple(next(ref for ref in column if ref is not None).buffer.name for column in columns)
    table = Table(f"loop{number}", names, tuple(zip(*columns, strict=True)) or ((),) * len(blocks))
    return Loop(table, body)


def _refs(step: Step) -> list[Ref | None]:
    match step:
        case Phase() | Parts():
            operands = [o for call in step.calls if call is not None for _, o in call.operands]
        case Job():
            operands = [o for _, o in step.call.operands]
        case Copy():
            operands = [step.target, step.source]
        case _:
            operands = []
    return [o for o in operands if not isinstance(o, Column)]


def _address(ref: Ref) -> Hashable:
    """Equal for the same place: the same buffer, or buffers of one type at the same address."""
    b = ref.buffer
    packing = b.packing.name if b.packing else ""
    if b.offset is None:
        return id(b), ref.offset
    if isinstance(ref.offset, int):
        return b.memory, b.dtype.name, packing, b.offset + ref.offset * b.dtype.bits // 8
    return b.memory, b.dtype.name, packing, b.offset, ref.offset


def _with_operands(step: Step, operands: Iterator[Operand | None]) -> Step:
    match step:
        case Phase():
            return replace(step, calls=tuple(_renewed(call, operands) for call in step.calls))
        case Parts():
            return replace(step, calls=tuple(c and _renewed(c, operands) for c in step.calls))
        case Job():
            return replace(step, call=_renewed(step.call, operands))
        case Copy():
            target, source = next(operands), next(operands)
            assert target is not None
            assert source is not None
            return replace(step, target=target, source=source)
        case _:
            return step


def _renewed(call: Call, operands: Iterator[Operand | None]) -> Call:
    return replace(call, operands=tuple((name, next(operands)) for name, _ in call.operands))
