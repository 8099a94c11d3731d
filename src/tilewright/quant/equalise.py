"""Changes of a checkpoint that leave its function alone and make it easier to quantise.

Channels between two linear operators may be scaled, where one absorbs what the other gets, and permuted. Here: gains of
norms against the columns that read them, and `up` against `down` (SmoothQuant, Xiao et al. 2023), then hidden units
sorted, and rows of `up` scaled, so that those which will share a multiplier have like ranges.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..frontend.checkpoint import LlamaCheckpoint, sealed
from ..ir.types import Array
from .rounding import group_positions, group_size

NORM_SHARE, HIDDEN_SHARE = 0.5, 0.7
"""Which share of the difference between channels moves from activations to weights; measured on stories260K."""


def equalise(model: LlamaCheckpoint, seen: Mapping[str, Array]) -> tuple[LlamaCheckpoint, dict[str, Array]]:
    """The checkpoint and its activations, rescaled and permuted."""
    tensors = {name: np.array(array, np.float64) for name, array in model.tensors.items()}
    after = {name: np.array(array) for name, array in seen.items()}
    for i in range(model.config.layers):
        at = f"blocks.{i}."
        for site, gain, readers in (
            ("attn_in", "norm_attn", ("wq", "wk", "wv")), ("ffn_in", "norm_ffn", ("gate", "up")),
        ):  # fmt: skip
            factor = _balance(after[at + site], [tensors[at + name] for name in readers], NORM_SHARE)
            tensors[at + gain] /= factor
            after[at + site] /= factor
            for name in readers:
                tensors[at + name] *= factor
        factor = _balance(after[at + "swiglu"], [tensors[at + "down"]], HIDDEN_SHARE)
        tensors[at + "up"] /= factor[:, None]
        tensors[at + "down"] *= factor
        order = hidden_order(tensors[at + "gate"])
        for name in ("gate", "up"):
            tensors[at + name] = tensors[at + name][order]
            after[at + name] = after[at + name][:, order]
        tensors[at + "down"] = tensors[at + "down"][:, order]
        after[at + "swiglu"] = after[at + "swiglu"][:, order]
        level = _level(tensors[at + "up"])
        tensors[at + "up"] /= level[:, None]
        tensors[at + "down"] *= level
        for name in ("up", "swiglu"):
            after[at + name] /= factor[order] * level
    narrow = {name: np.ascontiguousarray(array, np.float32) for name, array in tensors.items()}
    return sealed(model.name, model.config, narrow, model.name), after


def _balance(x: Array, readers: list[Array], share: float) -> Array:
    """What to divide each channel of x by and to multiply its columns with; the geometric mean is 1."""
    peak = np.maximum(np.abs(x).max(0).astype(np.float64), 1e-12)
    columns = np.maximum(np.max([np.abs(w).max(0) for w in readers], axis=0), 1e-12)
    log = np.clip(share * np.log(peak) - (1 - share) * np.log(columns), -50, 50)
    return np.asarray(np.exp(np.clip(log - log.mean(), -4, 4)))


def hidden_order(gate: Array) -> Array:
    """A permutation of hidden units after which rows of `gate` that share a multiplier have like ranges."""
    order = np.empty(len(gate), np.int64)
    order[group_positions(len(gate), group_size(*gate.shape))] = np.argsort(np.abs(gate).max(1), kind="stable")
    return order


def _level(up: Array) -> Array:
    """What to divide each row by so that rows which share a multiplier have the same range, the group's mean."""
    size, ranges = group_size(*up.shape), np.log(np.maximum(np.abs(up).max(1), 1e-12))
    groups = np.arange(len(up)) % -(-len(up) // size)
    mean = np.bincount(groups, ranges) / np.bincount(groups)
    return np.asarray(np.exp(np.clip(ranges - mean[groups], -4, 4)))
