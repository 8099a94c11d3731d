"""Decode of a language model in generated C against onnxruntime, one thread each, in turn.

    python bench/decode_vs_onnxruntime.py LIBRARY ONNX [--symbol NAME] [--token N] [--position N]

LIBRARY is the generated C as a shared library (-O3 -march=native -ffp-contract=off) that exports
`void NAME(int token, int position)`, one decode step.
"""

from __future__ import annotations

import argparse
import ctypes

from timing import compare, onnxruntime_call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library")
    parser.add_argument("onnx")
    parser.add_argument("--symbol", default="decode")
    parser.add_argument("--token", type=int, default=5)
    parser.add_argument("--position", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=300)
    args = parser.parse_args()
    decode = getattr(ctypes.CDLL(args.library), args.symbol)
    decode.restype = None
    step = (ctypes.c_int(args.token), ctypes.c_int(args.position))
    result = compare(lambda: decode(*step), onnxruntime_call(args.onnx), rounds=args.rounds)
    print(result)
    print(f"{1e6 / result.ours:.0f} tokens/s against {1e6 / result.theirs:.0f}")


if __name__ == "__main__":
    main()
