"""`tilewright quantize`: a float network becomes a quantised ONNX file, and what that cost is told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UserError
from ..output import Outcome, step
from .common import FILE, compile_options, json_option, options, table

if TYPE_CHECKING:
    from ..quant.loss import LayerLoss, Loss
    from ..quant.post_training import Quantised


@click.command()
@click.argument("model")
@click.option("-o", "out", type=FILE, help="The quantised ONNX file: QDQ form, which onnxruntime reads, too.")
@click.option("--top", type=click.IntRange(0), default=0, help="Layers to show, the costliest first; 0: all in order.")
@compile_options
@json_option
@click.pass_obj
def quantize(
    outcome: Outcome, model: str, out: Path | None, top: int,
    pairs: tuple[str, ...], tokenizer: Path | None, dump: Path | None,
) -> None:  # fmt: skip
    """Quantise MODEL to int8 and tell the loss: signal to noise at the outputs and at every layer.

    Three of four calibration samples are calibrated with, the fourth is measured. `--option keep=N` leaves the N
    costliest layers in fp32.
    """
    from ..ir.text import text
    from ..quant.network import quantised

    result = _quantised(model, pairs, tokenizer)
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


def _quantised(model: str, pairs: tuple[str, ...], tokenizer: Path | None) -> Quantised:
    """The network, quantised. UserError for language models, whose quantisation belongs to their compilation."""
    from dataclasses import replace

    from ..frontend.load import load
    from ..quant.post_training import quantise
    from ..targets.registry import find

    chosen = options(pairs, tokenizer)
    loaded = load(model, replace(chosen, quant="none"))
    if loaded.language is not None:
        raise UserError(
            f"{model} is a language model", rule="quantize writes ONNX networks",
            hint="`tilewright compile --option quant=int8|w8|w4|w4a8` quantises it, `evaluate` measures its loss",
        )  # fmt: skip
    with step(f"quantising {model}"):
        return quantise(loaded.entries[-1], find("host"), chosen)


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
