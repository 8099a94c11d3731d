"""A convolutional network in generated C against onnxruntime, one thread each, all in turn: fp32 and int8.

    python bench/resnet_vs_onnxruntime.py ONNX

Two int8 networks are made here from the same 16 random images, seed 0: by onnxruntime's static quantisation (QDQ, per
channel), and by Tilewright (`--option quant=int8 --calibrate`). Times are CPU microseconds per inference.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np

from timing import alternately, compiled, onnxruntime_call

Images = dict[str, np.ndarray]


def calibration(model: str) -> list[Images]:
    """Images for calibration, by input."""
    import onnxruntime

    inputs = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).get_inputs()
    rng = np.random.default_rng(0)
    return [{i.name: rng.random(i.shape, np.float32) for i in inputs} for _ in range(16)]


def quantise(model: str, to: str, images: list[Images]) -> None:
    """Write the QDQ form of a float model, as onnxruntime makes it."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    batches = iter(images)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Images | None:
            return next(batches, None)

    quantize_static(
        model, to, Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("onnx")
    parser.add_argument("--rounds", type=int, default=200)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images, qdq, samples = calibration(args.onnx), str(folder / "qdq.onnx"), folder / "samples.npz"
        quantise(args.onnx, qdq, images)
        np.savez(samples, **{key: np.stack([i[key] for i in images]) for key in images[0]})
        runners = {
            "fp32": compiled(args.onnx, str(folder / "fp32")),
            "int8, quantised by onnxruntime": compiled(qdq, str(folder / "qdq")),
            "int8, quantised here": compiled(
                args.onnx, str(folder / "int8"), "--option", "quant=int8", "--calibrate", str(samples)
            ),
        }
        calls = {f"tilewright {key}": r.prepared(list(images[0].values())) for key, r in runners.items()}
        calls |= {"onnxruntime fp32": onnxruntime_call(args.onnx), "onnxruntime int8": onnxruntime_call(qdq)}
        times = dict(zip(calls, alternately(list(calls.values()), rounds=args.rounds), strict=True))
    theirs, ours = (statistics.median(times[key]) for key in ("onnxruntime fp32", "tilewright fp32"))
    for key, values in times.items():
        middle = statistics.median(values)
        print(
            f"{key:42} {middle:7.1f} us (least {min(values):7.1f}), {middle / theirs:.2f} of onnxruntime's fp32, "
            f"{middle / ours:.2f} of tilewright's fp32"
        )


if __name__ == "__main__":
    main()
