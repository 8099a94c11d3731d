"""Which matrices get by with four bits, so that the loss grows by no more than a budget: `quant=mixed`.

The loss is that of the fp32 forward pass on the calibration text with all matrices rounded together; activations are
the same at either width. A kind of matrix, such as `down`, has one width in all blocks: layers then stay one loop,
with the same jobs of an accelerator.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from types import MappingProxyType

from ..frontend.checkpoint import LlamaCheckpoint
from ..lm.evaluate import evaluate
from ..lm.reference import Reference
from ..lm.vocabulary import Vocabulary
from .lower import Recipe
from .report import dequantised


def settled(model: LlamaCheckpoint, vocabulary: Vocabulary, recipe: Recipe) -> Recipe:
    """The recipe with `wide` chosen so that the loss is within `budget` of that with eight bits everywhere."""
    if recipe.budget is None:
        return recipe
    base, narrow = dequantised(model, vocabulary, replace(recipe, budget=None))
    _, wide = dequantised(model, vocabulary, replace(recipe, kind="int8", budget=None))
    blocks = {name: name.rpartition(".")[2] for name in narrow if name.startswith("blocks.")}

    def loss(kinds: Collection[str]) -> float:
        some = {name: (narrow if blocks.get(name) in kinds else wide)[name] for name in wide}
        rounded = Reference(replace(base, tensors=MappingProxyType({**base.tensors, **some})))
        return evaluate(list(recipe.text.stories), vocabulary, base.config.context, rounded).nats_per_token

    weights = dict.fromkeys(blocks.values(), 0)
    for name, kind in blocks.items():
        weights[kind] += narrow[name].size
    limit = loss(()) * (1 + recipe.budget)
    chosen = narrowed(weights, loss, limit)
    return replace(recipe, budget=None, wide=frozenset(name for name, kind in blocks.items() if kind not in chosen))


def narrowed(weights: dict[str, int], loss: Callable[[Collection[str]], float], limit: float) -> tuple[str, ...]:
    """Kinds that have four bits: one after the other where all so far stay within the limit.

    Those come first that add least loss for each of their weights, whose bits are what an accelerator's time goes by.
    """
    alone = {kind: loss((kind,)) for kind in weights}
    chosen: tuple[str, ...] = ()
    least = loss(())
    for kind in sorted(weights, key=lambda kind: (alone[kind] - least) / weights[kind]):
        if loss((*chosen, kind)) <= limit:
            chosen = (*chosen, kind)
    return chosen
