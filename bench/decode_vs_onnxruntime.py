"""Decode of a language model in generated C against onnxruntime, one thread each, in turn.

    python bench/decode_vs_onnxruntime.py CHECKPOINT ONNX [--tokenizer FILE] [--option K=V] [--position N]

ONNX is one decode step of the same model at that position. The generated C decodes 64 tokens around it.
"""

from __future__ import annotations

import argparse
import ctypes
import tempfile

from timing import compare, compiled, onnxruntime_call

STEPS = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("onnx")
    parser.add_argument("--tokenizer")
    parser.add_argument("--option", action="append", default=[], help="of the compiler, such as quant=int8")
    parser.add_argument("--position", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=512)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        more = ["--tokenizer", args.tokenizer] if args.tokenizer else []
        more += [word for option in args.option for word in ("--option", option)]
        runner = compiled(args.checkpoint, folder, *more)
        decode = runner.function("decode")
        decode.restype = ctypes.c_void_p
        token, done = ctypes.c_int32(5), 0

        def rewind() -> None:
            """Before every STEPS calls: back to STEPS / 2 before the position."""
            nonlocal done
            if done % STEPS == 0:
                runner.reset()
                runner.prefill([5] * (args.position - STEPS // 2))
            done += 1

        result = compare(lambda: decode(token), onnxruntime_call(args.onnx), before=rewind, rounds=args.rounds)
    print(result)
    print(f"{1e6 / result.ours:.0f} tokens/s against {1e6 / result.theirs:.0f}")


if __name__ == "__main__":
    main()
