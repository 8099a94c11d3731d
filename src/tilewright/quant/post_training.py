"""Quantisation of a network as the command line asks for it: samples, layers that stay float, the result."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

from ..errors import UserError
from ..ir.graph import Graph
from ..model import Model
from ..options import Options
from ..output import say
from ..targets.base import Target
from ..targets.registry import find
from .loss import kept_nodes, measure
from .network import Scheme, affordable, decide, prepared, quantised
from .ranges import Samples
from .samples import random_samples, read_samples

HELD_OUT = 4  # one of so many samples is not calibrated with, but measured
FEWEST_TO_SPLIT = 8
MEASURED = 8  # samples on which a compilation measures the loss


@dataclass(frozen=True)
class Quantised:
    """Decisions, and the samples: `calibration` and `unseen`, which are the same where there are few."""

    scheme: Scheme
    calibration: Samples
    unseen: Samples
    source: str


def split(samples: Samples) -> tuple[Samples, Samples]:
    """Samples to calibrate with, and those to measure on."""
    if len(samples) < FEWEST_TO_SPLIT:
        return samples, samples
    unseen = samples[HELD_OUT - 1 :: HELD_OUT]
    return [s for i, s in enumerate(samples) if i % HELD_OUT != HELD_OUT - 1], unseen


def quantise(graph: Graph, target: Target, options: Options) -> Quantised:
    """A float network with int8 in all layers but those that `keep` names. UserError where that cannot be."""
    if options.quant not in (None, "none", "int8"):
        raise UserError(
            f"networks do not quantise to {options.quant}", rule="w8, w4, w4a8 and mixed are for language models",
            hint="use quant=int8",
        )  # fmt: skip
    ready = prepared(graph, target)
    if options.calibrate is not None:
        samples, source = read_samples(options.calibrate, graph), str(options.calibrate)
    else:
        samples, source = random_samples(graph), "random inputs"
        say(
            "warning: no --calibrate: ranges come from random inputs of standard deviation 1, which are not like real "
            "ones; the loss on real inputs is not known"
        )
    calibration, unseen = split(samples)
    scheme = decide(ready, calibration)
    if options.keep is not None:
        kept = kept_nodes(scheme, calibration, options.keep)
        scheme = decide(ready, calibration, kept)
    return Quantised(scheme, calibration, unseen, source)


def quantised_model(name: str, graph: Graph, options: Options) -> Model:
    """The network with Quantize and Dequantize in it, which every target's passes make integer operators of.

    Its loss is measured on a few samples; `tilewright quantize` tells it layer by layer on all of them.
    """
    host = find("host")
    result = quantise(graph, host, options)
    loss = measure(result.scheme, host, affordable(graph, result.unseen, most=MEASURED), sensitivity=False)
    source = options.calibrate
    record = {
        "arithmetic": "int8", "keep": options.keep,
        "calibration": hashlib.sha256(source.read_bytes()).hexdigest() if source is not None else result.source,
        "samples": loss.samples, "snr_db": _finite(loss.snr_db), "max_abs_error": loss.worst,
        "layers": {layer.name: _finite(layer.snr_db) for layer in loss.layers},
    }  # fmt: skip
    return Model(name, (quantised(result.scheme),), quantisation=record)


def _finite(value: float) -> float | None:
    """Decibels as JSON has them: none where nothing was lost."""
    return round(value, 2) if math.isfinite(value) else None
