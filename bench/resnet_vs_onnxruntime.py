"""A convolutional network in generated C against onnxruntime, one thread each, in turn: fp32, then int8.

    python bench/resnet_vs_onnxruntime.py ONNX

The int8 network is made here: onnxruntime's static quantisation, QDQ, per channel, calibrated on random images, seed 0.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from timing import compare, compiled, onnxruntime_call


def quantise(model: str, to: str) -> None:
    """Write the QDQ form of a float model."""
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    inputs = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).get_inputs()
    rng = np.random.default_rng(0)
    batches = iter([{i.name: rng.random(i.shape, np.float32) for i in inputs} for _ in range(16)])

    class Images(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(batches, None)

    quantize_static(
        model, to, Images(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("onnx")
    parser.add_argument("--rounds", type=int, default=200)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        quantised = str(Path(folder) / "int8.onnx")
        quantise(args.onnx, quantised)
        for name, model in (("fp32", args.onnx), ("int8", quantised)):
            runner = compiled(model, str(Path(folder) / name))
            rng = np.random.default_rng(0)
            images = [rng.random(i["max_shape"], np.float32) for i in runner.inputs]
            run = runner.prepared(images)
            print(f"{name}: {compare(run, onnxruntime_call(model), rounds=args.rounds)}")


if __name__ == "__main__":
    main()
