"""Graph + Plan -> Programs: buffers with addresses, calls and copies, repeated blocks rolled into loops."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from ..ir.graph import Node
from ..ir.plan import Plan
from ..ir.program import Barrier, Buffer, Call, Copy, Job, Loop, Once, Parts, Phase, Program, Ref, Step, Work
from ..ir.repeats import layers
from ..ir.types import Kind, Value
from ..solve.decide import comes_first
from ..solve.tilings import root
from ..targets.base import Target
from .ahead import ahead
from .halves import in_halves, relieved
from .last_round import Moved
from .places import Places, Shared, pointer_operands
from .roll import Safe, never, roll
from .synchronise import may_follow, settled, synchronise
from .tiled import TiledNode

MOST_OWN = 12  # tokens of layers that repeat; the DMA has 16 counters


def lower(plan: Plan, target: Target) -> tuple[Program, ...]:
    """One program per entry; constants and states are the same buffers in all of them."""
    shared = Shared(plan)
    places = [Places(entry, plan, shared, target) for entry in plan.entries]
    if target.scratchpad is None:
        return tuple(_program(p, tuple(Phase((_call(n, p),)) for n in p.graph.nodes if not n.op.view)) for p in places)
    groups = itertools.count()
    nodes = [_nodes(p, groups) for p in places]
    again = [_again(p, tiled) for p, tiled in zip(places, nodes, strict=True)]
    back = itertools.chain(*(loads for entry in again for loads in entry.values()))
    kept = (*itertools.chain(*map(_kept, nodes)), *back)
    once = _once(kept, target.cores, target.scratchpad)
    return tuple(
        _program(p, _scheduled(p, tiled, some, groups, target), once, partial(_settled, target))
        for p, tiled, some in zip(places, nodes, again, strict=True)
    )


def _scheduled(
    places: Places, nodes: dict[int, TiledNode], again: Mapping[str, Sequence[Copy]], groups: Iterator[int],
    target: Target,
) -> tuple[Step, ...]:  # fmt: skip
    assert target.scratchpad is not None
    tokens: dict[int, int] = {}
    steps = ahead(tuple(_tiled(places, nodes, again, groups, tokens)), target)
    halved = in_halves(steps, places.graph.syms, target)
    if halved is not None:
        steps = relieved(ahead(halved, target), target)
    found = synchronise(steps, target.cores, target.scratchpad, tokens, halved is not None)
    return tuple(_there(found, again))


def _again(places: Places, nodes: dict[int, TiledNode]) -> dict[str, list[Copy]]:
    """The loads that a call ends with, by the node that they are for in the next one."""
    return {n.node.name: n.first_constants() for n in nodes.values() if n.node.name in places.entry.again}


def _there(steps: Sequence[Step], again: Mapping[str, Sequence[Copy]]) -> Iterator[Step]:
    """The first of two loads for a node moves nothing: the call before left its bytes there."""
    left = {(load.target, load.source) for loads in again.values() for load in loads}
    times = Counter((step.target, step.source) for step in steps if isinstance(step, Copy))
    for step in steps:
        move = (step.target, step.source) if isinstance(step, Copy) else None
        if isinstance(step, Copy) and move in left and times[move] > 1:
            left.remove(move)
            yield replace(step, bytes=0)
        else:
            yield step


def _settled(target: Target, steps: Sequence[Step], moved: Sequence[Moved]) -> bool:
    assert target.scratchpad is not None
    where = target.cores, target.scratchpad
    return all(may_follow(one.transfers, one.passed, *where) for one in moved) and settled(steps, *where)


def _program(places: Places, steps: tuple[Step, ...], once: tuple[Step, ...] = (), safe: Safe = never) -> Program:
    graph = places.graph
    used = dict.fromkeys(buffer for step in (*once, *steps) for buffer in _buffers(step))
    inputs = tuple(places.caller[v] for v in graph.arguments)
    outputs = tuple(places.caller[v] for v in graph.results)
    return Program(graph.name, (*once, *roll(steps, safe)), inputs, outputs, graph.syms, tuple(used))


def _kept(nodes: dict[int, TiledNode]) -> Iterator[Copy]:
    """Loads of constants that stay in the scratchpad."""
    for tiled in nodes.values():
        yield from tiled.resident_constants()


def _once(copies: tuple[Copy, ...], cores: int, scratchpad: str) -> tuple[Step, ...]:
    """The step of the first call that fetches what stays; entries may have the same constants."""
    places: dict[object, Copy] = {}
    for number, copy in enumerate(copies):
        assert isinstance(copy.target, Ref)
        places.setdefault(copy.target.buffer.offset, replace(copy, token=number))
    if not places:
        return ()
    return (Once((*roll(synchronise(tuple(places.values()), cores, scratchpad)), Barrier())),)


def _call(node: Node, places: Places) -> Call:
    kernel = places.entry.choices[node.name].kernel
    operands = pointer_operands(
        kernel, node, lambda name: places.ref(node.operands[name]), lambda ctype: places.scratch(node, ctype)
    )  # fmt: skip
    return Call(kernel, node, tuple(operands), tuple(kernel.arguments(node).items()))


def _nodes(places: Places, groups: Iterator[int]) -> dict[int, TiledNode]:
    """The nodes that move or compute something, by their step."""
    return {
        step: TiledNode(node, places.entry.choices[node.name], places, groups)
        for step, node in enumerate(places.graph.nodes)
        if not node.op.view
    }


def _tiled(
    places: Places, nodes: dict[int, TiledNode], again: Mapping[str, Sequence[Copy]], groups: Iterator[int],
    tokens: dict[int, int],
) -> Iterator[Work]:  # fmt: skip
    """Copies (with numbers of groups for tokens) and phases, in the order in which they are issued.

    `tokens` receives a token of its own for every load of a layer that repeats.
    """
    graph = places.graph
    repeat = layers(graph, {name: c.tiled.does for name, c in places.entry.choices.items() if c.tiled is not None})
    roles: dict[int, int] = {}
    issued: dict[int, list[Work]] = {}
    for step, tiled in nodes.items():
        start = step - places.entry.choices[graph.nodes[step].name].early
        at = next(s for s in nodes if s >= start)
        loads = tiled.first_constants()
        issued.setdefault(at, []).extend(loads)
        role = repeat.role(step) if repeat else None
        if role is not None:
            tokens |= {load.token: roles.setdefault(role, len(roles)) % MOST_OWN for load in loads}
    steps = {node.name: step for step, node in enumerate(graph.nodes)}
    for name, back in again.items():
        behind = next(s for s in nodes if s >= places.entry.again[name])
        group = next(groups)
        issued.setdefault(behind, []).extend(replace(load, token=group) for load in back)
        role = repeat.role(steps[name]) if repeat and name in steps else None
        if role in roles:
            tokens[group] = roles[role] % MOST_OWN
    arrived: set[Value] = set()
    yield from _arrivals([v for v in graph.inputs if comes_first(v)], places, arrived, groups)
    for step, tiled in nodes.items():
        node = graph.nodes[step]
        yield from _arrivals(node.inputs, places, arrived, groups)
        yield from tiled.steps(issued.get(step, []))
        yield from _departures(node, places, groups)


def _arrivals(
    values: Iterable[Value | None], places: Places, arrived: set[Value], groups: Iterator[int]
) -> Iterator[Copy]:
    """Those inputs among values that live in the scratchpad, together."""
    homes = dict.fromkeys(root(places.graph, value)[0] for value in values if value is not None)
    group = next(groups)
    for home in homes:
        near = home in places.entry.homes and places.entry.homes[home].block is not None
        if home.kind is Kind.INPUT and home not in arrived and near:
            arrived.add(home)
            yield Copy(places.ref(home), Ref(places.caller[home]), home.type.bytes, group)


def _departures(node: Node, places: Places, groups: Iterator[int]) -> Iterator[Copy]:
    """Outputs that live in the scratchpad leave as soon as they are there."""
    for value in node.outputs:
        if value in places.caller and places.entry.homes[value].block is not None:
            yield Copy(Ref(places.caller[value]), places.ref(value), value.type.bytes, next(groups))


def _buffers(step: Step) -> Iterator[Buffer]:
    match step:
        case Phase() | Parts():
            for call in step.calls:
                for _, operand in call.operands if call is not None else ():
                    if isinstance(operand, Ref):
                        yield operand.buffer
        case Job():
            yield from (operand.buffer for _, operand in step.call.operands if isinstance(operand, Ref))
        case Copy():
            yield from (operand.buffer for operand in (step.target, step.source) if isinstance(operand, Ref))
        case Once():
            for inner in step.steps:
                yield from _buffers(inner)
        case Loop():
            yield from (ref.buffer for row in step.table.rows for ref in row if ref is not None)
            for inner in step.body:
                yield from _buffers(inner)
