"""Plans for targets whose kernels work in a scratchpad: what is near, what streams through it, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ..errors import UserError
from ..ir.graph import Graph
from ..ir.plan import Block, Choice, EntryPlan, Home, Plan, Tiled, aligned
from ..ir.types import Kind, Value
from ..targets.base import Memory, Packing, Target
from .decide import Decision, Life, Menus, ScratchpadError, alone, decide, lives, whole
from .place import lower_bound, place
from .tilings import root

ROOM = (1.0, 0.96, 0.92, 0.86, 0.78, 0.68, 0.5)  # shares of the scratchpad that are tried until the blocks fit
AHEAD = (1.0, 0.9, 0.75, 0.0)  # shares that constants on their way ahead may fill; 0: they come when they are needed
Choices = Mapping[str, Mapping[str, Choice]]


def solve_scratchpad(
    entries: Sequence[Graph], choices: Choices, packings: Mapping[Value, str], target: Target, outputs_near: bool
) -> Plan:
    """A plan for graphs that share constants and states. With `outputs_near` the caller's outputs are near as well."""
    pad = next(m for m in target.memories if m.name == target.scratchpad)
    far = next(m for m in target.memories if m.holds in ("data", "both") and m is not pad)
    assert pad.bytes is not None
    state = state_bytes(entries, choices)
    kept = max((sum(aligned(v.type.bytes) for v in g.outputs) for g in entries), default=0) if outputs_near else 0
    menus, refusals = Menus(target), []
    for states_near in (True, False) if state else (True,):
        beside = kept + (state if states_near else 0)
        capacity = pad.bytes - beside
        try:
            spare = alone(entries, choices, menus, capacity, states_near)
        except ScratchpadError as error:
            refusals.append((error.way.least + beside, error))
            continue
        plans = [
            _entry(graph, choices.get(graph.name, {}), menus, pad, far, capacity, states_near, outputs_near, decision)
            for graph, decision in zip(entries, spare, strict=True)
        ]
        used = {m.name: max(_end(plan.blocks, m.name) for plan in plans) for m in (pad, far)}
        levels = {
            Kind.CONST: next(m for m in target.memories if m.holds in ("const", "both")).name,
            Kind.ACT: pad.name,
            Kind.STATE: pad.name if states_near else far.name,
            Kind.OUTPUT: pad.name if outputs_near else far.name,
        }
        if far.bytes is not None and used[far.name] + (0 if states_near else state) > far.bytes:
            raise _too_large(plans, far, used[far.name] + (0 if states_near else state))
        bound = max(lower_bound([b for b in plan.blocks if b.memory == pad.name]) for plan in plans)
        return Plan(target.name, tuple(plans), packings, used, bound, levels)
    raise _too_small(*min(refusals, key=lambda refusal: refusal[0]), pad)


def state_bytes(entries: Sequence[Graph], choices: Choices) -> int:
    """Bytes of all states as the kernels lay them out."""
    sizes: dict[Value, int] = {}
    for graph in entries:
        packing: dict[Value, Packing] = {}
        for node in graph.nodes:
            if not node.op.view:
                rows = choices[graph.name][node.name].kernel.packing
                packing |= {graph.storage(v): rows[name] for name, v in node.operands.items() if name in rows}
        for value in graph.states:
            elements = packing[value].elements(value.type.static_shape) if value in packing else value.type.size
            sizes[value] = aligned(elements * max(8, value.type.dtype.bits) // 8)
    return sum(sizes.values())


def _entry(
    graph: Graph, choices: Mapping[str, Choice], menus: Menus, pad: Memory, far: Memory, capacity: int,
    states_near: bool, outputs_near: bool, spare: Decision,
) -> EntryPlan:  # fmt: skip
    """The first decision whose blocks fit; those of `spare` always do."""
    callers = frozenset(root(graph, v)[0] for v in graph.outputs) if outputs_near else frozenset()
    for decision, seconds in _decisions(graph, choices, menus, capacity, states_near, spare):
        for ahead in AHEAD:
            blocks, homes, early = _blocks(graph, choices, decision, pad, far, int(capacity * ahead), callers)
            near = [b for b in blocks if b.memory == pad.name]
            if lower_bound(near) > capacity:
                continue
            placed, needed = place(near, pad.alignment, seconds=0.0 if ahead else seconds, enough=capacity)
            if needed <= capacity:
                outside, _ = place([b for b in blocks if b.memory != pad.name], far.alignment)
                final = {name: _with(choices[name], way, early.get(name, 0)) for name, way in decision.ways.items()}
                return EntryPlan(graph, final, (*placed, *outside), homes)
    raise AssertionError(f"{graph.name}: what each node needs alone does not fit")


def _decisions(
    graph: Graph, choices: Mapping[str, Choice], menus: Menus, capacity: int, states_near: bool, spare: Decision
) -> Iterator[tuple[Decision, float]]:
    """Decisions in the order in which they are tried, and how many seconds the search for places of it may take."""
    everything = whole(graph, choices, menus, states_near)
    if everything is not None:
        yield everything, 0.0
    for room in ROOM:
        found = decide(graph, choices, menus, int(capacity * room), states_near)
        if found is None:
            break
        yield found, 2.0
    yield spare, 0.0


def _with(choice: Choice, way: Tiled, early: int) -> Choice:
    return Choice(choice.kernel, way.cycles, way.worst_cycles, way.scratch, way, early)


def _blocks(
    graph: Graph, choices: Mapping[str, Choice], decision: Decision, pad: Memory, far: Memory, ahead: int,
    callers: frozenset[Value],
) -> tuple[list[Block], dict[Value, Home], dict[str, int]]:  # fmt: skip
    """Blocks, where each value lives, and how many steps ahead the constants of each node begin to arrive."""
    found: dict[str, Block] = {}
    homes: dict[Value, Home] = {}
    spans = lives(graph)
    outputs = {root(graph, v)[0] for v in graph.outputs}
    hosted = _in_place(graph, choices, decision, spans, outputs)
    for value, life in spans.items():
        host = value
        while host in hosted:
            host = hosted[host]
        if value in callers or (value not in decision.near and (value.kind is Kind.INPUT or value in outputs)):
            homes[value] = Home(None)
            continue
        homes[value] = Home(host.name)
        memory = pad.name if value in decision.near else far.name
        old = found.get(host.name, Block(host.name, memory, value.type.bytes, life.first, life.last))
        found[host.name] = replace(old, first=min(old.first, life.first), last=max(old.last, life.last))
    for step, node in enumerate(graph.nodes):
        way = decision.ways.get(node.name)
        if way is None:  # a view
            homes |= {v: Home(homes[home].block, offset) for v in node.outputs for home, offset in (root(graph, v),)}
            continue
        sizes = {
            s.operand: aligned(s.size) * way.depth
            for s in way.streams
            if (home := root(graph, node.operands[s.operand])[0]) not in decision.near and home not in callers
        }
        if way.scratch:
            sizes["scratch"] = way.scratch
        if way.constants:
            sizes["constants"] = aligned(way.constants.size) * way.depth
        for name, size in sizes.items():
            label = f"{node.name}.{name}"
            found[label] = Block(label, pad.name, size, step, step)
    early = _send_ahead(graph, found, pad.name, ahead)
    return list(found.values()), homes, early


def _in_place(
    graph: Graph, choices: Mapping[str, Choice], decision: Decision, spans: Mapping[Value, Life], outputs: set[Value]
) -> dict[Value, Value]:
    """Results that take the place of an operand which dies where they are made: result -> operand."""
    hosted: dict[Value, Value] = {}
    for step, node in enumerate(graph.nodes):
        if node.op.view:
            continue
        for result, operand in choices[node.name].kernel.in_place.items():
            mine, source = node.operands[result], node.operands.get(operand)
            if source is None or mine not in spans:
                continue
            home, offset = root(graph, source)
            dies = home in spans and spans[home].last == step
            same = home.type.bytes == mine.type.bytes and offset == 0
            near = home in decision.near and mine in decision.near
            if dies and same and near and home.kind is Kind.ACT and home not in outputs and mine not in outputs:
                hosted[mine] = home
    return hosted


def _send_ahead(graph: Graph, blocks: dict[str, Block], memory: str, capacity: int) -> dict[str, int]:
    """Let constants arrive before they are needed, in the order of their use, as early as the scratchpad has room."""
    steps = len(graph.nodes)
    used = [0] * steps
    for block in blocks.values():
        if block.memory == memory:
            for step in range(block.first, block.last + 1):
                used[step] += aligned(block.bytes)
    early: dict[str, int] = {}
    before = 0
    for step, node in enumerate(graph.nodes):
        label = f"{node.name}.constants"
        if label not in blocks:
            continue
        size, start = aligned(blocks[label].bytes), step
        while start > before and used[start - 1] + size <= capacity:
            start -= 1
            used[start] += size
        before = start
        blocks[label] = replace(blocks[label], first=start)
        early[node.name] = step - start
    return early


def _end(blocks: Sequence[Block], memory: str) -> int:
    end = max((b.offset + b.bytes for b in blocks if b.memory == memory), default=0)
    return aligned(end)


def _too_small(least: int, error: ScratchpadError, pad: Memory) -> UserError:
    """`least`: bytes that the node and what lies beside it need."""
    node, way = error.node, error.way
    assert pad.bytes is not None
    tile = (
        ", ".join(f"{name} in steps of {size}" for name, size in way.tile) or "the whole operator, which does not tile"
    )
    parts = [f"{s.operand} {aligned(s.size) * way.depth:,}" for s in way.streams]
    parts += [f"constants {aligned(way.constants.size) * way.depth:,}"] if way.constants else []
    parts += [f"scratch {way.scratch:,}"] if way.scratch else []
    parts += [f"state and outputs {least - way.least:,}"] if least > way.least else []
    return UserError(
        f"{type(node.op).__name__} needs at least {least:,} bytes of {pad.name}, {pad.bytes:,} are allowed: "
        f"{least - pad.bytes:,} are missing",
        where=node.name, origin=node.origin, rule=f"its smallest tile ({tile}) needs: {', '.join(parts)}",
        hint=f"give at least `--option {pad.name}={least}`",
    )  # fmt: skip


def _too_large(plans: Sequence[EntryPlan], far: Memory, used: int) -> UserError:
    blocks = sorted((b for plan in plans for b in plan.blocks if b.memory == far.name), key=lambda b: -b.bytes)
    largest = ", ".join(f"{b.name} ({b.bytes:,} B)" for b in blocks[:4])
    return UserError(
        f"activations and state need {used:,} bytes of {far.name}, it has {far.bytes or 0:,}",
        rule=f"largest: {largest}", hint="use a smaller model, a shorter context, or an int8 one",
    )  # fmt: skip
