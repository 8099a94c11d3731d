"""Make a plan: kernels from the menu, blocks with lifetimes, addresses, and an independent check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..errors import UserError
from ..ir.graph import Graph, Node
from ..ir.plan import Block, Choice, EntryPlan, Home, Plan
from ..ir.types import Dim, Expr, Kind, Value
from ..targets.base import Memory, Target
from .check import check
from .menu import choose
from .place import lower_bound, peak_step, place
from .scratchpad import solve_scratchpad


def solve(entries: Sequence[Graph], target: Target, *, outputs_near: bool = False, room: int = 0) -> Plan:
    """A checked plan for graphs that share constants and states, and whose transients share the memories.

    `outputs_near`: where there is a scratchpad, the caller keeps the outputs in it (language models their logits),
    and would like to have so many bytes of `room` there beside them.
    """
    choices, packings = choose(entries, target)
    if target.scratchpad is not None:
        _constants(entries, target)
        return check(solve_scratchpad(entries, choices, packings, target, outputs_near, room), target)
    memories = [m for m in target.memories if m.holds in ("data", "both")]
    state = sum(v.type.bytes for v in dict.fromkeys(v for graph in entries for v in graph.states))
    constants = _constants(entries, target)
    for arena in memories:
        plans, used, bound = [], 0, 0
        for graph in entries:
            blocks, homes = _blocks(graph, choices.get(graph.name, {}), arena.name)
            placed, needed = place(blocks, arena.alignment)
            used, bound = max(used, needed), max(bound, lower_bound(placed))
            plans.append(EntryPlan(graph, choices.get(graph.name, {}), placed, homes))
        if arena.bytes is None or used <= arena.bytes:
            break
    else:
        raise _too_large(plans, used, arena.name, arena.bytes)
    levels = {
        Kind.CONST: constants,
        Kind.ACT: arena.name,
        Kind.STATE: _state(state, memories, {arena.name: used}, target),
    }
    return check(Plan(target.name, tuple(plans), packings, {arena.name: used}, bound, levels), target)


def _constants(entries: Sequence[Graph], target: Target) -> str:
    """The memory of the constants. UserError where they are larger than it is."""
    memory = next(m for m in target.memories if m.holds in ("const", "both"))
    values = sorted(dict.fromkeys(v for g in entries for v in g.constants), key=lambda v: (-v.type.bytes, v.name))
    total = sum(v.type.bytes for v in values)
    if memory.bytes is not None and total > memory.bytes:
        node = next(n for g in entries for n in g.nodes if values[0] in n.inputs)
        raise UserError(
            f"constants need {total:,} bytes of {memory.name}, it has {memory.bytes:,}: "
            f"{total - memory.bytes:,} too many",
            where=node.name, origin=node.origin, rule=f"largest: {values[0].name} ({values[0].type.bytes:,} B)",
            hint="use a smaller model, or an int8 one (`--option quant=int8`)",
        )  # fmt: skip
    return memory.name


def _state(needed: int, memories: Sequence[Memory], used: Mapping[str, int], target: Target) -> str:
    """The nearest memory with room for the state beside the arena; of a single one, the limit is the arena's alone."""
    if len(memories) == 1:
        return memories[0].name
    for memory in memories:
        if memory.bytes is None or needed + used.get(memory.name, 0) <= memory.bytes:
            return memory.name
    last = memories[-1]
    missing = needed + used.get(last.name, 0) - (last.bytes or 0)
    raise UserError(
        f"the state needs {needed:,} bytes, {missing:,} too many for {last.name}",
        rule=f"no memory of {target.name} has room for it",
        hint="use a shorter context, or an int8 model (`--option quant=int8`)",
    )


def _blocks(graph: Graph, choices: dict[str, Choice], memory: str) -> tuple[list[Block], dict[Value, Home]]:
    """One block per storage: values that are views of each other or overwritten in place share one."""
    last = _last_reads(graph)
    homes: dict[Value, Home] = {v: Home(None) for v in graph.arguments}
    blocks: dict[str, Block] = {}
    outputs = set(graph.results)
    for step, node in enumerate(graph.nodes):
        for name, value in zip(node.operands, node.operands.values(), strict=True):
            if value not in node.outputs or value.kind is not Kind.ACT:
                continue
            if value in outputs:
                homes[value] = Home(None)
                continue
            host = _host(node, name, choices, homes, last, step)
            if host is not None:
                block_name, offset = host
            else:
                block_name, offset = value.name, 0
                blocks[block_name] = Block(block_name, memory, value.type.bytes, step, step)
            homes[value] = Home(block_name, offset)
            if block_name is not None:
                b = blocks[block_name]
                blocks[block_name] = replace(b, last=max(b.last, last.get(value, step)))
        choice = choices.get(node.name)
        if choice is not None and choice.scratch:
            label = f"{node.name}.scratch"
            blocks[label] = Block(label, memory, choice.scratch, step, step)
    return list(blocks.values()), homes


def _host(
    node: Node, result: str, choices: dict[str, Choice], homes: dict[Value, Home], last: dict[Value, int], step: int
) -> tuple[str | None, Dim] | None:
    """The existing storage that a result can use: what it is a view of, or an operand that dies here."""
    if node.op.view:
        source = node.inputs[0]
        assert source is not None
        home = homes.get(source, Home(None))
        return home.block, (Expr.of(home.offset) + node.op.offset(*node.types)).simplified()
    operand = choices[node.name].kernel.in_place.get(result)
    source = node.operands.get(operand) if operand else None
    if source is None or source.kind is not Kind.ACT or last[source] != step:
        return None
    home = homes[source]
    if any(homes[v].block == home.block for name, v in node.operands.items() if name != operand and v in homes):
        return None  # the node also reads it as something else
    mine = node.operands[result]
    sharers = [v for v, h in homes.items() if h.block == home.block and last.get(v, -1) > step]
    same = source.type.bytes == mine.type.bytes and source.type.shape == mine.type.shape
    if home.block is None or sharers or not same or home.offset != 0:
        return None
    return home.block, 0


def _last_reads(graph: Graph) -> dict[Value, int]:
    """The last step that reads each value."""
    last: dict[Value, int] = {}
    for step, node in enumerate(graph.nodes):
        last |= {value: step for value in node.inputs if value is not None}
    return last


def _too_large(plans: list[EntryPlan], used: int, memory: str, limit: int | None) -> UserError:
    limit = limit or 0
    worst = max(plans, key=lambda e: lower_bound(e.blocks))
    step = peak_step(worst.blocks)
    alive = sorted((b for b in worst.blocks if b.first <= step <= b.last), key=lambda b: -b.bytes)
    node = worst.graph.nodes[step]
    largest = ", ".join(f"{b.name} ({b.bytes:,} B)" for b in alive[:4])
    return UserError(
        f"activations need {used:,} bytes of {memory}, {limit:,} are allowed: {used - limit:,} too many",
        where=node.name, origin=node.origin, rule=f"alive at the peak: {largest}",
        hint=f"give at least `--option {memory}={used}` or use a smaller model or an int8 one",
    )  # fmt: skip
