"""Rows of a run-time number in two parts: an engine computes products of one while the cores work on the other.

Row by row most of a language model is independent. Each step of such rows becomes two, of the first rows, as many as
the engine takes at once, and of those behind them, if there are any. The steps of the second part then come a few
later: cores find results of an engine that were computed while they worked on the first part, and the other way round.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..ir.footprint import share_of
from ..ir.graph import Node
from ..ir.op import RuleError
from ..ir.program import Call, Copy, Job, Operand, Phase, Ref, Share, Work
from ..ir.types import Expr, Sym, Value, maximum, resolve, syms_of
from ..targets.base import Target
from .last_round import in_groups
from .synchronise import Access, Synchronisation

NEAR = 64  # steps among which one may change its place
EVEN = 16  # elements: of what cores have unequal parts, none begins within a word

Key = tuple[int, int, int]  # between two groups of jobs, the part, the place before


def in_halves(steps: Sequence[Work], syms: Sequence[Sym], target: Target) -> list[Work] | None:
    """The steps (phases, jobs, and copies whose tokens are groups) in an order of parts, where there are such.

    What touches the same bytes, of which one writes, stays in order.
    """
    parts = [parts_of(sym, target.rows) for sym in syms if target.parts(sym)]
    if not parts or not any(isinstance(step, Job) for step in steps):
        return None
    assert target.scratchpad is not None
    sync = Synchronisation(target.cores, target.scratchpad, {})
    units: list[_Unit] = []
    stage, jobs = 0, False
    groups = in_groups(steps)
    for place, group in enumerate(groups):
        first = group[0]
        stage += jobs and isinstance(first, Phase)
        jobs = isinstance(first, Job) or (jobs and not isinstance(first, Phase))
        found = None if isinstance(first, Copy) else next(filter(None, (_cut(first, p) for p in parts)), None)
        halves = [[half] for half in found] if found else [group]
        moves = isinstance(first, Copy)  # what transfers fetch is for later, what they overwrite is still in use
        for part, half in enumerate(halves):
            key = stage + (moves and jobs), int(part or moves), place
            units.append(_Unit(half, [a for step in half for a in sync.touches(step)], key))
    if len(units) == len(groups):
        return None  # no rows of a run-time number
    return [step for unit in _ordered(units) for step in unit.steps]


def parts_of(sym: Sym, rows: int) -> tuple[Sym, Sym]:
    """The numbers of rows in the two parts."""
    first = Sym(f"{sym.name}_first", rows, min(rows, sym.nominal), sym.name)
    return first, Sym(f"{sym.name}_rest", sym.max - rows, max(0, sym.nominal - rows), sym.name, rows)


@dataclass(eq=False)
class _Unit:
    """A step, or transfers that share a token."""

    steps: list[Work]
    touches: list[Access]
    key: Key


def _ordered(units: list[_Unit]) -> list[_Unit]:
    """By their keys, as far as bytes allow; one that others need comes before them."""
    before: list[list[int]] = []
    behind: list[list[int]] = [[] for _ in units]
    for i, unit in enumerate(units):
        near = range(max(0, i - NEAR), i)
        found = [j for j in near if any(m.clashes(t) for m in unit.touches for t in units[j].touches)]
        if i > NEAR:
            found.append(i - NEAR - 1)
        before.append(found)
        for j in found:
            behind[j].append(i)
    keys = [unit.key for unit in units]
    for i in reversed(range(len(units))):
        keys[i] = min([keys[i], *(keys[j] for j in behind[i])])
    left = [len(some) for some in before]
    ready = [(keys[i], i) for i, count in enumerate(left) if count == 0]
    heapq.heapify(ready)
    found_order = []
    while ready:
        _, i = heapq.heappop(ready)
        found_order.append(units[i])
        for j in behind[i]:
            left[j] -= 1
            if left[j] == 0:
                heapq.heappush(ready, (keys[j], j))
    return found_order


def _cut(step: Work, parts: tuple[Sym, Sym]) -> tuple[Work, Work] | None:
    """The two parts of a step, where its rows are independent."""
    if isinstance(step, Job):
        calls = [_call_of(step.call, part) for part in parts]
        if calls[0] is None or calls[1] is None:
            return None
        return replace(step, call=calls[0]), replace(step, call=calls[1])
    if not isinstance(step, Phase) or len(step.calls) != 1 or step.share is None or step.calls[0].kernel.meets:
        return None
    found = []
    for part in parts:
        call = _call_of(step.calls[0], part)
        if call is None or (share := share_of(call.kernel, call.semantics, step.share.cores)) is None:
            return None
        found.append(Phase((call,), share))
    return found[0], found[1]


def _call_of(call: Call, part: Sym) -> Call | None:
    """A call for the rows of one part."""
    node, kernel = call.semantics, call.kernel
    domain = node.op.domain(*node.types)
    shapes = {name: value.type.shape for name, value in node.operands.items()}
    extents = domain.extents(shapes)
    dims = [name for name in domain.parallel if isinstance(d := extents[name], Sym) and d.name == part.of]
    if len(dims) != 1:
        return None
    (dim,) = dims
    by_row = domain.cut_by(dim, shapes)
    if by_row is None:
        return None
    cut: dict[str, Value] = {}
    for name, value in node.operands.items():
        if name in by_row:
            cut[name] = replace(value, type=value.type.with_shape((part, *value.type.shape[1:])))
        elif value in node.outputs and any(not isinstance(d, int) for d in value.type.shape):
            return None
    ranges = {name: (0, maximum(extent)) for name, extent in extents.items()}
    try:
        op = node.op.tiled(ranges | {dim: (part.first, part.first + part.max)})
    except RuleError:
        return None
    names = {id(value): name for name, value in node.operands.items()}
    inputs = tuple(v and cut.get(names[id(v)], v) for v in node.inputs)
    piece = Node(op, inputs, tuple(cut.get(names[id(v)], v) for v in node.outputs), node.name, node.origin)
    if kernel.misfit(piece) is not None:
        return None
    operands: list[tuple[str, Operand | None]] = []
    for name, ref in call.operands:
        if name in cut and ref is not None:
            inner = math.prod(map(maximum, cut[name].type.shape[1:]))
            if not isinstance(ref, Ref) or ref.buffer.packing or ref.buffer.dtype != cut[name].type.dtype:
                return None
            ref = Ref(ref.buffer, (Expr.of(ref.offset) + part.first * inner).simplified())
        operands.append((name, ref))
    return Call(kernel, piece, tuple(operands), tuple(kernel.arguments(piece).items()))


def relieved(steps: Sequence[Work], target: Target) -> list[Work]:
    """Phases with less for the core that starts jobs before, at the most rows that there can be."""
    found: list[Work] = []
    busy = 0.0
    for step in steps:
        if isinstance(step, Job):
            engine = target.engine(step.call.kernel)
            busy += 2 * (engine.issue + engine.describe)
        elif isinstance(step, Phase):
            if busy and step.share is not None and len(step.calls) == 1 and not step.share.late:
                share = replace(step.share, unit=math.lcm(step.share.unit, EVEN))
                late = _late(step.calls[0], share, busy, target)
                step = replace(step, share=replace(share, late=late) if late else step.share)
            busy = 0.0
        found.append(step)
    return found


def _late(call: Call, share: Share, busy: float, target: Target) -> int:
    """Units of a call that take a core so many cycles."""
    env = {sym.of or sym.name: sym.first + sym.max for sym in syms_of(share.total)}
    total = resolve(share.total, env)
    node = call.semantics
    known = {id(v): replace(v, type=v.type.substitute(env)) for v in (*node.inputs, *node.outputs) if v is not None}
    inputs, outputs = (tuple(v and known[id(v)] for v in some) for some in (node.inputs, node.outputs))
    most = Node(node.op.at(env), inputs, tuple(v for v in outputs if v), node.name, node.origin)
    chunk = -(-total // share.unit // target.cores)
    if not call.kernel.costed or not chunk:
        return 0
    return min(chunk, int(busy * chunk / call.kernel.cycles(most)))
