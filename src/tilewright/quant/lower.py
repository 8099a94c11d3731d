"""A float llama as an integer graph, or as one with integer weights: what `quant=int8|w8|w4|w4a8` means."""

from __future__ import annotations

from dataclasses import dataclass

from ..frontend.checkpoint import LlamaCheckpoint
from ..ir.graph import Graph
from ..lm.vocabulary import Vocabulary
from .calibrate import CalibrationText, find_scales, observe, sequences
from .equalise import equalise

KINDS = ("none", "int8", "w8", "w4", "w4a8")


@dataclass(frozen=True)
class Recipe:
    """How to quantise. `wide`: matrices, such as blocks.0.wk, that keep eight bits where others have four."""

    kind: str
    text: CalibrationText
    wide: frozenset[str] = frozenset()
    tied_rows: bool = True  # rows share multipliers where the accelerator's fast forms want it


def quantised(
    model: LlamaCheckpoint, vocabulary: Vocabulary, recipe: Recipe, chunk: int, *, all_logits: bool = False
) -> Graph:
    """The forward pass as `frontend.llama.graph` gives it, quantised. int8 and w4a8 have no float value in it."""
    seen = observe(model, sequences(recipe.text, vocabulary, model.config.context))
    if recipe.kind in ("w8", "w4"):
        from .weight_only import graph as weight_only

        return weight_only(model, seen, recipe, chunk, all_logits=all_logits)
    from .integer import graph as integer, quantise

    model, seen = equalise(model, seen)
    return integer(quantise(model, find_scales(model, seen), seen, recipe), chunk, all_logits=all_logits)


def entries(
    model: LlamaCheckpoint, vocabulary: Vocabulary, recipe: Recipe, chunk: int
) -> tuple[Graph, Graph]:
    """`prefill` of up to `chunk` tokens and `decode` of one, with the same weights and state."""
    whole = quantised(model, vocabulary, recipe, chunk)
    return whole.specialise("prefill", {}), whole.specialise("decode", {"n": 1})
