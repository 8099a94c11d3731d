"""Decode of stories260K in generated C against onnxruntime, one thread each, in turn, in one process.

    python bench/decode_vs_onnxruntime.py [--shared ../shared] [--cc gcc] [--rounds 300]

The C is what `tilewright compile stories260K.bin -t host` writes, compiled with -O3 -march=native without fast-math;
onnxruntime runs the same decode step at position 128 (stories260K_decode_128.onnx).
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from timing import compare, onnxruntime_call

POSITION = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("TILEWRIGHT_SHARED", "../shared")))
    parser.add_argument("--cc", help="C compiler; ziglang's clang by default")
    parser.add_argument("--rounds", type=int, default=300)
    args = parser.parse_args()
    if args.cc:
        os.environ["TILEWRIGHT_CC"] = args.cc

    from tilewright.api import compile_file
    from tilewright.cgen.project import write
    from tilewright.options import Options
    from tilewright.targets.host.runner import HostRunner

    data = args.shared / "data"
    with tempfile.TemporaryDirectory() as folder:
        write(compile_file(str(data / "llm" / "stories260K.bin"), "host", Options()), Path(folder) / "c")
        runner = HostRunner(Path(folder) / "c")
        decode, reset, position = (runner.function(name) for name in ("decode", "reset", "position"))

        def rewind() -> None:
            """Back to the position; not timed."""
            if position() != POSITION:
                reset()
                runner.prefill([1] + [5] * (POSITION - 1))

        result = compare(
            lambda: decode(5),
            onnxruntime_call(str(data / "onnx" / "stories260K_decode_128.onnx")),
            rounds=args.rounds,
            before=rewind,
        )
    print(f"decode of stories260K at position {POSITION}, {args.cc or 'ziglang'} -O3 -march=native: {result}")
    print(f"{1e6 / result.ours:,.0f} tokens/s against {1e6 / result.theirs:,.0f}")


if __name__ == "__main__":
    main()
