"""`tilewright quantize`: what quantisation costs a model, and which layer most; networks become ONNX files, too."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UserError
from ..output import Outcome, step
from .common import FILE, compile_options, json_option, options, table

if TYPE_CHECKING:
    from ..ir.graph import Graph
    from ..model import Language
    from ..options import Options
    from ..quant.loss import LayerLoss, Loss
    from ..quant.post_training import Quantised
    from ..quant.report import LanguageLoss


@click.command()
@click.argument("model")
@click.option("-o", "out", type=FILE, help="The quantised ONNX file: QDQ form, which onnxruntime reads, too.")
@click.option("--text", "text_file", type=FILE, help="Language models: stories to measure on; default: calibration's.")
@click.option("--limit", type=click.IntRange(1), help="Take whole stories up to this many bytes.")
@click.option("--top", type=click.IntRange(0), default=0, help="Layers to show, the costliest first; 0: all in order.")
@compile_options
@json_option
@click.pass_obj
def quantize(
    outcome: Outcome, model: str, out: Path | None, text_file: Path | None, limit: int | None, top: int,
    pairs: tuple[str, ...], tokenizer: Path | None, dump: Path | None,
) -> None:  # fmt: skip
    """Quantise MODEL to int8 and tell the loss: signal to noise at the outputs and at every layer.

    Three of four calibration samples are calibrated with, the fourth is measured. `--option keep=N` leaves the N
    costliest layers in fp32. Of language models, `--option quant=int8|w8|w4|w4a8|mixed`, it tells nats per token, bits
    per byte and the cost of every matrix; `tilewright compile` with the same option makes the C.
    """
    from dataclasses import replace

    from ..frontend.load import load
    from ..ir.text import text
    from ..quant.network import quantised

    chosen = options(pairs, tokenizer)
    loaded = load(model, replace(chosen, quant="none"))
    if loaded.language is not None:
        if out is not None:
            raise UserError(
                f"{model} is a language model", rule="-o writes networks as ONNX",
                hint="`tilewright compile --option quant=...` writes the C of a language model",
            )  # fmt: skip
        loss_of_text = _language(loaded.language, chosen, text_file, limit)
        outcome.add(**_language_fields(loss_of_text))
        click.echo(_language_text(loss_of_text, top))
        return
    result = _quantised(model, loaded.entries[-1], chosen)
    graph = quantised(result.scheme)
    if dump is not None:
        dump.mkdir(parents=True, exist_ok=True)
        (dump / "quantised.txt").write_text(text(graph))
    if out is not None:
        from ..frontend.onnx_write import write

        write(graph, out)
    from ..quant.loss import measure
    from ..targets.registry import find

    with step(f"measuring the loss on {len(result.unseen)} samples"):
        loss = measure(result.scheme, find("host"), result.unseen)
    outcome.add(**_fields(result, loss))
    click.echo(_text(result, loss, top))
    if out is not None:
        click.echo(f"written to {out}")


def _quantised(model: str, graph: Graph, chosen: Options) -> Quantised:
    """The network, quantised."""
    from ..quant.post_training import quantise
    from ..targets.registry import find

    with step(f"quantising {model}"):
        return quantise(graph, find("host"), chosen)


def _language(language: Language, chosen: Options, text_file: Path | None, limit: int | None) -> LanguageLoss:
    """The loss of a language model on a text; int8 where no other kind is asked for."""
    from ..lm.evaluate import split_stories
    from ..quant.lower import recipe_of
    from ..quant.report import measure
    from .evaluate import read_text

    kind = chosen.quant if chosen.quant not in (None, "none") else "int8"
    recipe = recipe_of(str(kind), chosen)
    stories = list(recipe.text.stories) if text_file is None else split_stories(read_text(text_file), limit)
    with step(f"quantising to {kind} and measuring {len(stories):,} stories"):
        return measure(language.checkpoint, language.vocabulary, recipe, stories)


def _language_fields(loss: LanguageLoss) -> dict[str, Any]:
    return {
        "quant": loss.kind, "calibration": loss.calibration, "float_ops": loss.float_ops,
        "nats_per_token": loss.quantised.nats_per_token, "bits_per_byte": loss.quantised.bits_per_byte,
        "fp32_nats_per_token": loss.real.nats_per_token, "fp32_bits_per_byte": loss.real.bits_per_byte,
        "increase": loss.increase,
        "by_row_nats_per_token": None if loss.by_row is None else loss.by_row.nats_per_token,
        "tokens": loss.quantised.tokens, "stories": loss.quantised.stories, "costliest": loss.costliest.name,
        "layers": [
            {"name": m.name, "bits": m.bits, "bytes": m.bytes, "cost_nats": m.cost, "widening_gain_nats": m.widening}
            for m in loss.matrices
        ],
    }  # fmt: skip


def _language_text(loss: LanguageLoss, top: int) -> str:
    made, real = loss.quantised, loss.real
    lines = [
        f"{loss.kind}: {made.nats_per_token:.4f} nats/token, {made.bits_per_byte:.4f} bits/byte; fp32 "
        f"{real.nats_per_token:.4f}, {real.bits_per_byte:.4f}: {100 * loss.increase:+.2f} % "
        f"({made.tokens:,} tokens of {made.stories:,} stories)"
    ]
    if loss.by_row is not None:
        more = loss.by_row.nats_per_token / real.nats_per_token - 1
        lines.append(f"with a multiplier for every row: {loss.by_row.nats_per_token:.4f}, {100 * more:+.2f} %")
    rest = made.nats_per_token - real.nats_per_token - sum(m.cost for m in loss.matrices)
    lines.append(f"costliest matrix: {loss.costliest.name}; not explained by single matrices: {rest:+.4f} nats/token")
    shown = sorted(loss.matrices, key=lambda m: -m.cost)[:top] if top else loss.matrices
    rows = [
        (f"  {m.name}", str(m.bits), f"{m.bytes:,}", f"{m.cost:+.5f}",
         "-" if m.widening is None else f"{-m.widening:+.5f}") for m in shown
    ]  # fmt: skip
    head = ("  matrix", "bits", "bytes", "costs nats", "8 bits give")
    return "\n".join([*lines, table([head, *rows], right=(1, 2, 3, 4))])


def _fields(result: Quantised, loss: Loss) -> dict[str, Any]:
    costliest = loss.costliest
    return {
        "calibration": result.source, "calibration_samples": len(result.calibration), "samples": loss.samples,
        "unseen": result.unseen is not result.calibration, "snr_db": loss.snr_db, "max_abs_error": loss.worst,
        "float_ops": loss.float_ops, "costliest": costliest.name if costliest is not None else None,
        "layers": [_layer(layer) for layer in loss.layers],
    }  # fmt: skip


def _layer(layer: LayerLoss) -> dict[str, Any]:
    return {
        "name": layer.name, "op": layer.op, "origin": layer.origin, "arithmetic": layer.arithmetic,
        "snr_db": layer.snr_db, "max_abs_error": layer.worst, "widening_gain_db": layer.gain_db,
        "fits32": layer.fits32,
    }  # fmt: skip


def _text(result: Quantised, loss: Loss, top: int) -> str:
    seen = "not calibrated with" if result.unseen is not result.calibration else "calibrated with: too few to spare any"
    lines = [
        f"{loss.snr_db:.1f} dB signal to noise at the outputs, greatest error {loss.worst:.3g} "
        f"({loss.samples} samples {seen}; {result.source})"
    ]
    costliest = loss.costliest
    if costliest is not None and costliest.gain_db is not None:
        lines.append(f"costliest layer: {costliest.name}; in fp32 it would give {costliest.gain_db:+.1f} dB")
    shown = sorted(loss.layers, key=lambda x: -(x.gain_db or 0.0))[:top] if top else loss.layers
    head = ("  layer", "operator", "arithmetic", "SNR dB", "worst", "fp32 gives dB", "32 bit")
    rows = [
        (f"  {x.name[:48]}", x.op, x.arithmetic, f"{x.snr_db:.1f}", f"{x.worst:.3g}",
         "-" if x.gain_db is None else f"{x.gain_db:+.2f}", {True: "proven", False: "no", None: "-"}[x.fits32])
        for x in shown
    ]  # fmt: skip
    return "\n".join([*lines, table([head, *rows], right=(3, 4, 5))])
