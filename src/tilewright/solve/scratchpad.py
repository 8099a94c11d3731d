"""Plans for targets whose kernels work in a scratchpad: what is near, what streams through it, and where."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product

from ..errors import UserError
from ..ir.graph import Graph
from ..ir.plan import Block, Choice, EntryPlan, Home, Plan, Tiled, aligned, packings_of
from ..ir.repeats import Repeat, layers
from ..ir.types import Kind, Value
from ..targets.base import Memory, Target
from .apart import BEHIND, Lasting, in_turns, kept, through, undisturbed, unmet
from .arrange import arrange
from .decide import Decision, Life, Menus, ScratchpadError, alone, decide, lives, whole
from .flights import Flight, flights
from .place import lower_bound, place
from .resident import Bundle, bundle_of, further, residents
from .smaller import smaller
from .tilings import root
from .wrap import wrapped

ROOM = (1.0, 0.96, 0.92, 0.86, 0.78, 0.68, 0.5)  # shares of the scratchpad that are tried until the blocks fit
AHEAD = (1.0, 0.9, 0.75, 0.0)  # shares that constants on their way ahead may fill; 0: they come when they are needed
Choices = Mapping[str, Mapping[str, Choice]]


def solve_scratchpad(
    entries: Sequence[Graph],
    choices: Choices,
    packings: Mapping[Value, str],
    target: Target,
    outputs_near: bool,
    room: int = 0,
) -> Plan:
    """A plan for graphs that share constants and states. With `outputs_near` the caller's outputs are near as well.

    So many bytes of `room` are left beside them, if a plan allows it with states where they would be without.
    """
    menus = Menus(target, entries)
    while True:
        found = _attempt(entries, choices, packings, target, menus, outputs_near, room)
        if isinstance(found, Plan):
            return found
        least, error, pad = found
        other = smaller(entries, choices, packings, target, menus, error.node, error.way.least)
        if other is None:
            raise _too_small(least, error, pad)
        choices, packings = other


def _attempt(
    entries: Sequence[Graph], choices: Choices, packings: Mapping[Value, str], target: Target, menus: Menus,
    outputs_near: bool, room: int,
) -> Plan | tuple[int, ScratchpadError, Memory]:  # fmt: skip
    """A plan with these kernels, or how many bytes it lacks and what does not fit."""
    pad = next(m for m in target.memories if m.name == target.scratchpad)
    far = next(m for m in target.memories if m.holds in ("data", "both") and m is not pad)
    assert pad.bytes is not None
    state = state_bytes(entries, choices)
    kept = max((sum(aligned(v.type.bytes) for v in g.outputs) for g in entries), default=0) if outputs_near else 0
    refusals = []
    for states_near, left in product((True, False) if state else (True,), dict.fromkeys((room, 0))):
        beside = kept + left + (state if states_near else 0)
        steady = entries[0] if state and len(entries) == 1 else None
        budget = Budget(pad, far, pad.bytes - beside, states_near, outputs_near, steady)
        try:
            plans = _plans(entries, choices, menus, budget)
        except ScratchpadError as error:
            refusals.append((error.way.least + beside, error))
            continue
        stays = residents(plans, budget) if state else {}
        with suppress(ScratchpadError):  # what stays takes the room of a tile
            if stays:
                plans = _plans(entries, choices, menus, replace(budget, stays=stays))
            left = budget.capacity - max(_end(plan.blocks, pad.name) for plan in plans)
            if state and (more := further(plans[-1], stays, left)):
                stays = {**stays, **more}
                plans = _plans(entries, choices, menus, replace(budget, stays=stays))
            if any(in_turns(graph, target, BEHIND) for graph in entries):  # in the room that is left
                plans = _plans(entries, choices, menus, replace(budget, stays=stays, behind=BEHIND))
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
    return *min(refusals, key=lambda refusal: refusal[0]), pad


def state_bytes(entries: Sequence[Graph], choices: Choices) -> int:
    """Bytes of all states as the kernels lay them out."""
    sizes: dict[Value, int] = {}
    for graph in entries:
        packing = packings_of(graph, choices.get(graph.name, {}))
        for value in graph.states:
            elements = packing[value].elements(value.type.static_shape) if value in packing else value.type.size
            sizes[value] = aligned(elements * max(8, value.type.dtype.bits) // 8)
    return sum(sizes.values())


@dataclass(frozen=True)
class Budget:
    """What a plan may use: the scratchpad less state and outputs, and constants that stay there, by what they are.

    `steady`: the only entry of a network that is called again and again: its calls find what those before left.
    `behind`: steps, at most, by which one part of the rows may be behind the other.
    """

    pad: Memory
    far: Memory
    capacity: int
    states_near: bool
    outputs_near: bool
    steady: Graph | None = None
    stays: Mapping[Bundle, int] = field(default_factory=dict)  # bytes of each, in the order in which they lie
    behind: int = 0

    @property
    def taken(self) -> int:
        """Bytes of what stays."""
        return sum(self.stays.values())

    def offset(self, bundle: Bundle) -> int:
        """Where a bundle that stays lies: they come first."""
        keys = list(self.stays)
        return sum(self.stays[key] for key in keys[: keys.index(bundle)])


def _plans(entries: Sequence[Graph], choices: Choices, menus: Menus, budget: Budget) -> list[EntryPlan]:
    """A plan per entry. ScratchpadError where a node does not fit."""

    @cache
    def spare() -> list[Decision]:
        return alone(entries, choices, menus, budget.capacity - budget.taken, budget.states_near)

    return [
        _entry(graph, choices.get(graph.name, {}), menus, budget, lambda i=i: spare()[i])  # type: ignore[misc]
        for i, graph in enumerate(entries)
    ]


def _entry(
    graph: Graph, choices: Mapping[str, Choice], menus: Menus, budget: Budget, spare: Callable[[], Decision]
) -> EntryPlan:  # fmt: skip
    """The first decision whose blocks fit; those of `spare` always do."""
    pad, far, capacity = budget.pad, budget.far, budget.capacity - budget.taken
    for decision, seconds in _decisions(graph, choices, menus, budget, spare):
        repeat = layers(graph, {name: way.does for name, way in decision.ways.items()})
        runs = unmet(graph, decision.ways, menus.target.cores)
        turns = [found for steps in range(budget.behind, 0, -1) if (found := in_turns(graph, menus.target, steps))]
        for ahead, lasting, apart in product(AHEAD, [*turns, {}], [runs, []] if runs else [[]]):
            room = int(capacity * ahead)
            blocks, homes, early = _blocks(graph, decision, budget, room, repeat, menus.target, lasting)
            if apart and undisturbed(blocks, apart):
                longer = {**lasting, **through(apart)}
                blocks, homes, early = _blocks(graph, decision, budget, room, repeat, menus.target, longer)
            near = {b.name: b for b in blocks if b.memory == pad.name and b.offset < 0}
            if lower_bound([*near.values()]) > capacity:
                continue
            again = _again(graph, decision, near, early, menus.target, budget, repeat)
            found = arrange(graph, near, again, repeat, capacity, 0.0 if ahead else seconds, pad.alignment)
            if found is None:
                continue
            outside, _ = place([b for b in blocks if b.memory != pad.name], far.alignment)
            moved = [replace(b, offset=b.offset + budget.taken) for b in found]
            final = {
                node.name: _choice(
                    decision.ways[node.name], early.get(node.name),
                    menus.offered(node, choices[node.name], budget.states_near),
                )
                for node in graph.nodes
                if not node.op.view
            }  # fmt: skip
            fixed = [b for b in blocks if b.offset >= 0]
            kept = {b.name: b.first for b in moved}
            steps = {name: kept[b.name] for name, b in again.items() if b.name in kept}
            return EntryPlan(graph, final, (*fixed, *moved, *outside), homes, steps)
    raise AssertionError(f"{graph.name}: what each node needs alone does not fit")


def _again(
    graph: Graph, decision: Decision, near: Mapping[str, Block], early: Mapping[str, int], target: Target,
    budget: Budget, repeat: Repeat | None,
) -> dict[str, Block]:  # fmt: skip
    """Bytes of constants that a call ends with, by node, where calls follow each other."""
    if graph is not budget.steady or target.dma is None:
        return {}
    return wrapped(graph, decision.ways, near, early, target.dma, repeat)


def _decisions(
    graph: Graph, choices: Mapping[str, Choice], menus: Menus, budget: Budget, spare: Callable[[], Decision]
) -> Iterator[tuple[Decision, float]]:
    """Decisions in the order in which they are tried, and how many seconds the search for their places may take."""
    everything = whole(graph, choices, menus, budget.states_near)
    roomy = everything is not None and all(
        way.least <= budget.capacity - budget.taken for way in everything.ways.values()
    )
    if roomy and everything is not None:  # so any node fits, and its smallest tile need not be known
        yield everything, 0.0
    last = spare()  # nothing is searched for where nothing fits
    if not roomy and everything is not None:
        yield everything, 0.0
    for room in ROOM:
        capacity = int((budget.capacity - budget.taken) * room)
        found = decide(graph, choices, menus, capacity, budget.states_near)
        if found is None:
            break
        yield found, 2.0
    yield last, 0.0


def _choice(way: Tiled, early: int | None, offered: tuple[Tiled, ...]) -> Choice:
    stays = way.constants is not None and early is None
    return Choice(way.kernel, way.cycles, way.worst_cycles, way.scratch, way, early or 0, stays, offered)


def _blocks(
    graph: Graph, decision: Decision, budget: Budget, ahead: int, repeat: Repeat | None, target: Target,
    lasting: Lasting,
) -> tuple[list[Block], dict[Value, Home], dict[str, int]]:  # fmt: skip
    """Blocks, where each value lives, and how many steps ahead the constants of nodes begin to arrive.

    Blocks of what stays have their offsets. `lasting`: what lives longer than it is used.
    """
    pad, far = budget.pad, budget.far
    found: dict[str, Block] = {}
    fixed: list[Block] = []
    homes: dict[Value, Home] = {}
    spans = lives(graph)
    outputs = {root(graph, v)[0] for v in graph.results}
    callers = outputs if budget.outputs_near else set()
    hosted = _in_place(graph, decision, spans, outputs)
    flying = flights(graph, decision.ways, target) if ahead else {}
    spans = _while_flying(graph, spans, flying)
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
        if way.between:
            sizes["between"] = aligned(way.between)
        if way.constants:
            size, key = aligned(way.constants.size), bundle_of(node, way)
            if key is not None and key in budget.stays:
                label = f"{node.name}.constants"
                fixed.append(Block(label, pad.name, size, 0, len(graph.nodes) - 1, budget.offset(key)))
            else:
                sizes["constants"] = size * way.depth
        for name, size in sizes.items():
            label = f"{node.name}.{name}"
            flight = flying.get(step, Flight(step, step)) if name in ("constants", "between") else Flight(step, step)
            found[label] = Block(label, pad.name, size, flight.first, flight.last)
    kept(found, lasting, pad.name)
    early = _send_ahead(graph, found, pad.name, ahead, repeat)
    return [*fixed, *found.values()], homes, early


def _while_flying(
    graph: Graph, spans: Mapping[Value, Life], flying: Mapping[int, Flight]
) -> dict[Value, Life]:  # fmt: skip
    """Lives of values, longer where calls in flight read or write them."""
    found = dict(spans)
    for step, flight in flying.items():
        for value in (v for v in (*graph.nodes[step].inputs, *graph.nodes[step].outputs) if v is not None):
            home, _ = root(graph, value)
            if home in found:
                life = found[home]
                found[home] = Life(min(life.first, flight.first), max(life.last, flight.last))
    return found


def _in_place(graph: Graph, decision: Decision, spans: Mapping[Value, Life], outputs: set[Value]) -> dict[Value, Value]:
    """Results that take the place of an operand which dies where they are made: result -> operand."""
    hosted: dict[Value, Value] = {}
    for step, node in enumerate(graph.nodes):
        way = decision.ways.get(node.name)
        if way is None or way.partner is not None:  # a view, or two engines that know nothing of each other
            continue
        for result, operand in way.kernel.in_place.items():
            mine, source = node.operands[result], node.operands.get(operand)
            if source is None or mine not in spans:
                continue
            home, offset = root(graph, source)
            dies = home in spans and spans[home].last == step
            same = home.type.bytes == mine.type.bytes and offset == 0
            near = home in decision.near and mine in decision.near
            others = {root(graph, value)[0] for name, value in node.operands.items() if name != operand}
            inside = home.kind is Kind.ACT and home not in outputs and mine not in outputs
            if dies and same and near and inside and home not in others:
                hosted[mine] = home
    return hosted


def _send_ahead(
    graph: Graph, blocks: dict[str, Block], memory: str, capacity: int, repeat: Repeat | None
) -> dict[str, int]:
    """Let constants arrive before they are needed, in the order of their use, as early as the scratchpad has room.

    Layers that repeat do so alike: what is on its way or waits fits into a window that is the same at every step.
    """
    used = [0] * len(graph.nodes)
    for block in blocks.values():
        if block.memory == memory and not block.name.endswith(".constants"):
            for step in range(block.first, block.last + 1):
                used[step] += aligned(block.bytes)
    sizes = [aligned(b.bytes) if (b := blocks.get(f"{n.name}.constants")) else 0 for n in graph.nodes]
    limits = [capacity - (max(used) if repeat else bytes_) for bytes_ in used]
    most = repeat.period - 1 if repeat else len(graph.nodes)
    early: dict[str, int] = {}
    before, there = 0, list(sizes)  # bytes of constants at each step
    for step, node in enumerate(graph.nodes):
        if not sizes[step]:
            continue
        label = f"{node.name}.constants"
        start = blocks[label].first
        while start > max(before, step - most):
            waiting = sum(sizes[start - 1 : step + 1]) if repeat else there[start - 1] + sizes[step]
            if waiting > limits[start - 1]:
                break
            start -= 1
            there[start] += sizes[step]
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
