"""A model as the frontends deliver it: graphs that share constants and state, and its language face if any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .ir.graph import Graph

if TYPE_CHECKING:
    from .frontend.checkpoint import LlamaCheckpoint
    from .lm.vocabulary import Vocabulary


@dataclass(frozen=True)
class Language:
    """What makes a network a language model.

    `logit_scale`: None where the logits are real numbers; else they are integers, real logit = integer * scale.
    `quant` is how the model was quantised, `calibration` the SHA-256 of the text that its scales come from.
    """

    checkpoint: LlamaCheckpoint
    vocabulary: Vocabulary
    context: int
    chunk: int  # tokens per pass of a prompt
    logit_scale: float | None = None
    quant: str = "none"
    calibration: str | None = None

    @property
    def size(self) -> int:
        """Entries of the vocabulary."""
        return self.checkpoint.config.vocab


@dataclass(frozen=True)
class Model:
    """Entry graphs in the order of compilation; a language model has `prefill` and `decode`, others have `run`.

    `quantisation` of a network that was quantised here: how, and what it cost, for plan.json.
    """

    name: str
    entries: tuple[Graph, ...]
    language: Language | None = None
    quantisation: Mapping[str, Any] | None = None
