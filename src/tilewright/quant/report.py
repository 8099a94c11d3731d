"""What quantisation cost a language model: its loss, and which matrix costs most.

The loss is that of the compiled C on the host. What a matrix costs is measured apart: the fp32 model with this matrix
alone rounded, on the same text. What their sum does not explain is what activations, cache and tables cost.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from ..frontend.checkpoint import LlamaCheckpoint, Weights
from ..ir.types import Array
from ..lm.evaluate import Loss, Tokens, evaluate
from ..lm.reference import Reference
from ..lm.vocabulary import Vocabulary
from ..model import Model
from ..options import Options
from .calibrate import find_scales, observe, sequences
from .check import float_ops
from .equalise import equalise
from .lower import Recipe, language_model

MATRIX_TEXT = 12_000
"""Bytes of text on which single matrices are measured."""


@dataclass(frozen=True)
class MatrixLoss:
    """`cost`: what rounding this matrix alone adds, in nats per token; keeping it as it was would buy that back.

    `widening`: of a 4-bit matrix, what eight bits would buy back; None where it has eight bits.
    """

    name: str
    bits: int
    bytes: int
    cost: float
    widening: float | None


@dataclass(frozen=True)
class LanguageLoss:
    """Losses on one text. `by_row`: with a multiplier for every row, None where none are shared."""

    kind: str
    real: Loss
    quantised: Loss
    by_row: Loss | None
    matrices: tuple[MatrixLoss, ...]
    float_ops: int
    calibration: str

    @property
    def increase(self) -> float:
        """Nats per token, as a part of the fp32 model's."""
        return self.quantised.nats_per_token / self.real.nats_per_token - 1

    @property
    def costliest(self) -> MatrixLoss:
        return max(self.matrices, key=lambda m: m.cost)


def measure(model: LlamaCheckpoint, vocabulary: Vocabulary, recipe: Recipe, stories: list[str]) -> LanguageLoss:
    """Quantise, compile for the host, and measure on stories."""
    from .mixed import settled

    context, recipe = model.config.context, settled(model, vocabulary, recipe)
    made = language_model(model, vocabulary, 1, recipe)
    real = evaluate(stories, vocabulary, context, Reference(model))
    apart = None
    if made.language is not None and made.language.logit_scale is not None and recipe.tied_rows:
        apart = of_compiled(language_model(model, vocabulary, 1, replace(recipe, tied_rows=False)), stories)
    return LanguageLoss(
        recipe.kind, real, of_compiled(made, stories), apart,
        tuple(matrix_losses(model, vocabulary, recipe, first_stories(stories))), float_ops(made.entries[-1]),
        recipe.text.digest,
    )  # fmt: skip


def of_compiled(model: Model, stories: list[str]) -> Loss:
    """The loss of the C on the host."""
    from ..api import compile_model
    from ..cgen.project import write
    from ..targets.registry import find, runner

    language = model.language
    assert language is not None
    scale = 1.0 if language.logit_scale is None else language.logit_scale
    with tempfile.TemporaryDirectory(prefix="tilewright-") as folder:
        write(compile_model(model, find("host"), Options()), Path(folder) / "network")
        network = runner("host", Path(folder) / "network")

        def logits_of(texts: list[Tokens]) -> Iterator[Array]:
            for tokens in texts:
                network.reset()
                yield np.stack([network.decode(int(token)).reshape(-1) for token in tokens]) * scale

        return evaluate(stories, language.vocabulary, language.context, logits_of)


def first_stories(stories: list[str]) -> list[str]:
    """As many stories as make MATRIX_TEXT bytes, at least one."""
    ends = np.cumsum([len(story.encode("utf-8", "surrogateescape")) for story in stories])
    return stories[: max(1, int((ends <= MATRIX_TEXT).sum()))]


def matrix_losses(
    model: LlamaCheckpoint, vocabulary: Vocabulary, recipe: Recipe, stories: list[str]
) -> Iterator[MatrixLoss]:
    """One matrix after the other, embedding and head included."""
    base, rounded = dequantised(model, vocabulary, recipe)
    eight = {"w4a8": "int8", "mixed": "int8", "w4": "w8"}.get(recipe.kind)
    wide = rounded if eight is None else dequantised(model, vocabulary, replace(recipe, kind=eight))[1]

    def loss(name: str, weights: Weights) -> float:
        tensors = MappingProxyType({**base.tensors, name: weights})
        changed = Reference(replace(base, tensors=tensors))
        return evaluate(stories, vocabulary, base.config.context, changed).nats_per_token

    plain = evaluate(stories, vocabulary, base.config.context, Reference(base)).nats_per_token
    for name, weights in rounded.items():
        bits = recipe.bits(name) if name.startswith("blocks.") else 8
        cost = loss(name, weights) - plain
        widening = cost - (loss(name, wide[name]) - plain) if bits == 4 else None
        yield MatrixLoss(name, bits, weights.size * bits // 8, cost, widening)


def dequantised(
    model: LlamaCheckpoint, vocabulary: Vocabulary, recipe: Recipe
) -> tuple[LlamaCheckpoint, Mapping[str, Weights]]:
    """The fp32 checkpoint that is rounded (equalised for integer graphs), and its matrices as rounding leaves them."""
    seen = observe(model, sequences(recipe.text, vocabulary, model.config.context))
    if recipe.kind in ("w8", "w4"):
        from .weight_only import rounded_matrices

        return model, rounded_matrices(model, seen, recipe)
    from .integer import quantise

    model, seen = equalise(model, seen)
    made = quantise(model, find_scales(model, seen), seen, recipe)
    found = {"embed": made.embed} | ({} if made.head is None else {"head": made.head})
    found |= {f"blocks.{i}.{name}": rows for name, site in made.matrices.items() for i, rows in enumerate(site.rows)}
    return model, {name: rows.real for name, rows in found.items()}
