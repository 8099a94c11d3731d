"""A float llama as an integer graph, or as one with integer weights: what `quant=int8|w8|w4|w4a8|mixed` means."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UserError
from ..frontend.checkpoint import LlamaCheckpoint
from ..frontend.llama import prefill_and_decode
from ..ir.graph import Graph
from ..lm.vocabulary import Vocabulary
from ..model import Language, Model
from ..options import Options
from .calibrate import CalibrationText, find_scales, observe, sequences
from .check import check_integer
from .equalise import equalise

BUDGET = 0.02
"""By which part of the loss four bits may raise it, where the user does not say."""


@dataclass(frozen=True)
class Recipe:
    """How to quantise. `wide`: matrices, such as blocks.0.wo, that keep eight bits where others have four; so do
    embedding and head, and with `w4a8` all keys, a few percent of the weights that cost a quarter of the loss. With a
    `budget`, a part of the loss by which four bits may raise it, `mixed.settled` chooses them.

    Without `tied_rows` every row has a multiplier of its own; with it rows share where the accelerator's fast forms
    want it, see `rounding.group_size`.
    """

    kind: str
    text: CalibrationText
    wide: frozenset[str] = frozenset()
    tied_rows: bool = True
    budget: float | None = None

    def bits(self, matrix: str) -> int:
        """Bits of a matrix of a block."""
        if self.kind not in ("w4", "w4a8", "mixed") or matrix in self.wide:
            return 8
        return 8 if self.kind == "w4a8" and matrix.endswith(".wk") else 4


def recipe_of(kind: str, options: Options) -> Recipe:
    """What the options ask for. UserError where there is a budget and nothing to choose."""
    if options.budget is not None and kind != "mixed":
        raise UserError(f"quant={kind} has no budget", rule="budget=PERCENT belongs to quant=mixed")
    budget = (BUDGET if options.budget is None else options.budget) if kind == "mixed" else None
    return Recipe(kind, CalibrationText.read(options.calibrate), budget=budget)


@dataclass(frozen=True)
class QuantisedLlama:
    """The forward pass, and the scale of its integer logits; None where they are real."""

    graph: Graph
    logit_scale: float | None

    @property
    def entries(self) -> tuple[Graph, Graph]:
        """`prefill` of a chunk of tokens and `decode` of one, with the same weights and state."""
        return prefill_and_decode(self.graph)


def quantised(
    model: LlamaCheckpoint, vocabulary: Vocabulary, recipe: Recipe, chunk: int, *, all_logits: bool = False
) -> QuantisedLlama:
    """The forward pass as `frontend.llama.graph` gives it, quantised. int8 and w4a8 have no float value in it."""
    seen = observe(model, sequences(recipe.text, vocabulary, model.config.context))
    if recipe.kind in ("w8", "w4"):
        from .weight_only import graph as weight_only

        return QuantisedLlama(weight_only(model, seen, recipe, chunk, all_logits=all_logits), None)
    from .integer import graph as integer
    from .integer import quantise

    model, seen = equalise(model, seen)
    made = quantise(model, find_scales(model, seen), seen, recipe)
    return QuantisedLlama(check_integer(integer(made, chunk, all_logits=all_logits)), made.logit_scale)


def language_model(model: LlamaCheckpoint, vocabulary: Vocabulary, chunk: int, recipe: Recipe) -> Model:
    """A language model with its entries, quantised."""
    from .mixed import settled

    recipe = settled(model, vocabulary, recipe)
    made = quantised(model, vocabulary, recipe, chunk)
    language = Language(
        model, vocabulary, model.config.context, chunk, made.logit_scale, recipe.kind, recipe.text.digest
    )
    return Model(model.name, made.entries, language)
