"""Signal to noise of networks quantised here and by onnxruntime's static quantisation, from the same samples.

    python bench/quantise_networks.py resnet8.onnx micro_kws_m_static_fp32.onnx [--samples 64] [--inputs 200]

Samples and inputs are random, seeds 0 and 1: uniform in 0 .. 1 for images, else normal with --deviation. Each network
is measured three times: the integer graph as Tilewright compiles it (numpy, the same bits as the C), the QDQ file that
Tilewright writes in onnxruntime, and onnxruntime's own quantisation (QDQ, per channel, int8 activations and weights)
in onnxruntime. The reference is the fp32 network in onnxruntime. Logits are what a last softmax reads.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from tilewright.frontend.load import load
from tilewright.frontend.onnx_write import write
from tilewright.interp.graph import run
from tilewright.options import Options
from tilewright.passes.pipeline import apply
from tilewright.quant.loss import decibels, measure
from tilewright.quant.network import decide, prepared, quantised
from tilewright.targets.registry import find

HOST = find("host")
Sample = dict[str, np.ndarray]


class Samples(CalibrationDataReader):  # type: ignore[misc]
    """The samples, one after another."""

    def __init__(self, samples: list[Sample]) -> None:
        self.rest: Iterator[Sample] = iter(samples)

    def get_next(self) -> Sample | None:
        return next(self.rest, None)


def session(model: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def drawn(model: str, count: int, seed: int, deviation: float) -> list[Sample]:
    rng = np.random.default_rng(seed)
    ports = [(i.name, [d if isinstance(d, int) else 1 for d in i.shape]) for i in session(model).get_inputs()]
    return [
        {n: (rng.random(s) if len(s) == 4 else rng.normal(0, deviation, s)).astype(np.float32) for n, s in ports}
        for _ in range(count)
    ]


def without_softmax(model: str, to: str) -> str:
    """The network up to what its last softmax reads, where it ends in one."""
    proto = onnx.load(model)
    last = proto.graph.node[-1]
    if last.op_type == "Softmax":
        proto.graph.output[0].name = last.input[0]
        proto.graph.node.pop()
    onnx.save(proto, to)
    return to


def snr(exact: list[np.ndarray], got: list[np.ndarray]) -> float:
    signal = sum(float((e.astype(np.float64) ** 2).sum()) for e in exact)
    return decibels(
        signal, sum(float(((e.astype(np.float64) - g) ** 2).sum()) for e, g in zip(exact, got, strict=True))
    )


def agreement(exact: list[np.ndarray], got: list[np.ndarray]) -> float:
    return float(np.mean([e.argmax() == g.argmax() for e, g in zip(exact, got, strict=True)]))


def compare(title: str, model: str, samples: list[Sample], inputs: list[Sample], folder: Path, per_layer: bool) -> None:
    floating = session(model)
    exact = [floating.run(None, i)[0] for i in inputs]
    scheme = decide(prepared(load(model, Options()).entries[0], HOST), samples)
    graph = quantised(scheme)
    ours, theirs = str(folder / "ours.onnx"), str(folder / "theirs.onnx")
    write(graph, Path(ours))
    integer = apply(graph, HOST)
    results = {"tilewright": [next(iter(run(integer, i).values())) for i in inputs]}
    mine = session(ours)
    results["tilewright's file in onnxruntime"] = [mine.run(None, i)[0] for i in inputs]
    quantize_static(
        model, theirs, Samples(samples), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip
    other = session(theirs)
    results["onnxruntime"] = [other.run(None, i)[0] for i in inputs]
    print(f"{title}: {len(samples)} samples calibrated with, {len(inputs)} others measured")
    for name, got in results.items():
        print(f"  {name:33} SNR {snr(exact, got):5.1f} dB, same top-1 {agreement(exact, got):.1%}")
    if per_layer:
        loss = measure(scheme, HOST, inputs)
        print(f"  {'layer':40} {'SNR dB':>7} {'worst':>9} {'fp32 gives':>11}  32 bit")
        for layer in loss.layers:
            gain = "-" if layer.gain_db is None else f"{layer.gain_db:+.2f} dB"
            print(f"  {layer.name[-40:]:40} {layer.snr_db:7.1f} {layer.worst:9.3g} {gain:>11}  {layer.fits32}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("onnx", nargs="+")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--inputs", type=int, default=200)
    parser.add_argument("--deviation", type=float, default=0.4)
    args = parser.parse_args()
    for model in args.onnx:
        samples, inputs = (drawn(model, n, seed, args.deviation) for seed, n in enumerate((args.samples, args.inputs)))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            compare(Path(model).stem, model, samples, inputs, folder, per_layer=True)
            logits = without_softmax(model, str(folder / "logits.onnx"))
            compare(f"{Path(model).stem}, logits", logits, samples, inputs, folder, per_layer=False)


if __name__ == "__main__":
    main()
