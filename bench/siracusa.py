"""Networks and the bundled language model on the simulated Siracusa, beside what others published.

    python bench/siracusa.py [--shared ../shared] [--timing chip gvsoc] [--npu on off] [--only NAME ...]

`npu`: whether N-EUREKA computes beside the cores.

Every network runs twice in a row and is compared with what it should give, to the bit: a case's own outputs, or those
of the target `host`. `first` is the first run, with cold caches and constants that later runs find in L1; the other
columns are of the second. `predicted` is the compiler's own figure and does not depend on the timing; `off` compares
it with the second run. The language model writes 250 tokens greedily, sampler and tokenizer included; its prediction
is of a decode at the nominal position and has neither. Energy is a model's, tokens/s are at an assumed clock of
360 MHz. Of prompts, one of 64 tokens and a short one of five, cycles and energy are per token of theirs, tokenizer
and sampler included; the prediction, of as many as are read at once, has neither. Without the shared data only the
bundled model runs.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tilewright import cli
from tilewright.commands.common import table

TIMINGS = ("chip", "gvsoc")
BUNDLED = "tinystories"
PROMPT = (
    "Once upon a time there was a little girl named Lily. She loved to play in the park with her friends. One "
    "day she saw a big red ball under the old tree. She ran to it and picked it up. Her mom said that she "
    "could take the ball."
)
SHORT = "Once upon a time"
PROMPTS = {"tinystories prompt": (PROMPT, 64), "tinystories short prompt": (SHORT, 5)}  # with their tokens
PUBLISHED = {
    "tinystories": "340 tokens/s, 490 uJ/token [1]",
    "tinystories prompt": "goal: 10,000 cycles per token",
    "microLlama64": "about 891,000 cycles per token on cores [2]",
    "microLlama128": "about 3,100,000 cycles, not tiled [3]",
}
SOURCES = (
    "[1] arXiv 2408.04413, abstract: another Llama of TinyStories, on the chip with its accelerator; clock and"
    " length of the cache are not given there.",
    "[2] derived from Deeploy, docs/tutorials/introduction.md: 857,000 cycles per token (GVSoC, eight cores and the"
    " accelerator, tiled), of which the accelerator makes about 4 %.",
    "[3] the same page: GVSoC, eight cores, data in L2.",
)
HEAD = (
    "network",
    "npu",
    "timing",
    "exact",
    "first",
    "cycles",
    "predicted",
    "off",
    "MACs",
    "MAC/cycle",
    "uJ",
    "published",
)


@dataclass(frozen=True)
class Bench:
    """Where the shared data and files of this run are."""

    shared: Path | None
    folder: Path
    npu: str = "on"
    notes: list[str] = field(default_factory=list)

    @property
    def data(self) -> Path:
        assert self.shared is not None
        return self.shared / "data"


def call(bench: Bench, *words: object) -> dict[str, Any]:
    """One command line: its JSON. SystemExit where it fails, other than by values that differ."""
    file, said = bench.folder / "outcome.json", io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = cli.run([*map(str, words), "--json", str(file)])
    if code not in (0, 1):
        raise SystemExit(f"tilewright {' '.join(map(str, words))}\n{said.getvalue()}")
    return json.loads(file.read_text())


def row(
    bench: Bench, name: str, timing: str, exact: str, cycles: Sequence[int | None], told: dict[str, Any]
) -> tuple[str, ...]:
    """A line of the table. cycles: of the first and of the second run."""
    first, last = cycles
    assert last is not None
    predicted = told.get("cycles_predicted")
    return (
        name, bench.npu, timing, exact, "" if first is None else f"{first:,}", f"{last:,}",
        "-" if predicted is None else f"{predicted:,.0f}",
        "-" if predicted is None else f"{100 * (predicted / last - 1):+.1f} %",
        f"{told['macs']:,}", f"{told['macs'] / last:.2f}", f"{told['energy_uj']:,.1f}", PUBLISHED.get(name, ""),
    )  # fmt: skip


def network(
    bench: Bench, name: str, model: Path, inputs: Path, expected: Path, timings: Sequence[str]
) -> list[tuple[str, ...]]:
    """A network, compiled once, run twice under each timing."""
    made = bench.folder / name
    call(bench, "compile", model, "-t", "siracusa", "--option", f"npu={bench.npu}", "-o", made, "--no-build")
    rows = []
    for timing in timings:
        told = call(bench, "run", made, "--inputs", inputs, "--expect", expected, "--repeat", 2, "--timing", timing)
        exact = "yes" if told["wrong_values"] == 0 else f"{told['wrong_values']} wrong"
        rows.append(row(bench, name, timing, exact, (told["first_cycles"], told["cycles"]), told))
    return rows


def quantlib(case: str) -> Callable[[Bench, str, Sequence[str]], list[tuple[str, ...]]]:
    """A case of the QuantLib data, with inputs and outputs of its own."""

    def run(bench: Bench, name: str, timings: Sequence[str]) -> list[tuple[str, ...]]:
        folder = bench.data / "quantlib" / "Models" / case
        return network(bench, name, folder, folder / "inputs.npz", folder / "outputs.npz", timings)

    return run


def input_of(source: Path) -> tuple[str, list[int]]:
    """Name and shape of an ONNX network's first input; sizes that the file leaves open are 1."""
    import onnx

    port = onnx.load(source).graph.input[0]
    return port.name, [d.dim_value or 1 for d in port.type.tensor_type.shape.dim]


def resnet(bench: Bench, name: str, timings: Sequence[str]) -> list[tuple[str, ...]]:
    """ResNet-8, quantised by `tilewright quantize` from 64 seeded samples; the host says what it gives."""
    rng, files = np.random.default_rng(0), {n: bench.folder / f"{n}.npz" for n in ("samples", "x", "y")}
    source, integer = bench.data / "onnx" / "resnet8.onnx", bench.folder / "resnet8_int8.onnx"
    port, shape = input_of(source)
    np.savez(files["samples"], **{port: rng.random((64, *shape), np.float32).reshape(64, *shape[1:])})
    np.savez(files["x"], **{port: rng.random(shape, np.float32)})
    call(bench, "quantize", source, "--calibrate", files["samples"], "-o", integer)
    call(bench, "run", integer, "-t", "host", "--inputs", files["x"], "--outputs", files["y"])
    return network(bench, name, integer, files["x"], files["y"], timings)


def story(bench: Bench, name: str, timings: Sequence[str]) -> list[tuple[str, ...]]:
    """The bundled model: 250 tokens behind a prompt, beside the host's text; figures are per token."""
    words = ("--option", "quant=int8", "--prompt", SHORT, "-n", 250, "--ignore-eos")
    wanted = call(bench, "generate", name, "-t", "host", *words)["text"]
    made, rows = bench.folder / name, []
    chip = ("-t", "siracusa", "--option", f"npu={bench.npu}")
    call(bench, "compile", name, *chip, "-o", made, "--no-build")
    predicted = json.loads((made / "plan.json").read_text())["entries"][-1]["cycles"]
    for timing in timings:
        told = call(bench, "generate", name, *chip, *words, "--timing", timing)
        told |= {"energy_uj": told["energy_uj_per_token"], "cycles_predicted": predicted}
        exact = "yes" if told["text"] == wanted else "other text"
        rows.append(row(bench, name, timing, exact, (None, told["cycles_per_token"]), told))
        memory = ", ".join(f"{m} {n:,} of {told['bytes_available'][m]:,}" for m, n in told["bytes_used"].items())
        bench.notes.append(
            f"{name}, npu={bench.npu}, {timing}: {told['tokens_per_second']:,.0f} tokens/s at {told['clock_mhz']:.0f}"
            f" MHz (assumed), {told['energy_uj_per_token']:.1f} uJ/token (model), prompt"
            f" {told['prompt_cycles_per_token']:,} cycles per token, positions {told['positions'][0]} to"
            f" {told['positions'][1]}; bytes: {memory}"
        )
    return rows


def prompt(bench: Bench, name: str, timings: Sequence[str]) -> list[tuple[str, ...]]:
    """A prompt, and one token drawn: cycles per token of the prompt, tokenizer included."""
    said, tokens = PROMPTS[name]
    words = ("--option", "quant=int8", "--prompt", said, "-n", 1, "--ignore-eos")
    wanted, rows = call(bench, "generate", BUNDLED, "-t", "host", *words)["text"], []
    chip = ("-t", "siracusa", "--option", f"npu={bench.npu}")
    call(bench, "compile", BUNDLED, *chip, "-o", bench.folder / name, "--no-build")
    entries = json.loads((bench.folder / name / "plan.json").read_text())["entries"]
    predicted = {sym["nominal"]: e["cycles"] for e in entries for sym in e["syms"] if sym["name"] == "n"}.get(tokens)
    for timing in timings:
        told = call(bench, "generate", BUNDLED, *chip, *words, "--timing", timing)
        told |= {"energy_uj": told["energy_uj"] / tokens, "cycles_predicted": predicted and predicted / tokens}
        exact = "yes" if told["text"] == wanted else "other text"
        rows.append(row(bench, name, timing, exact, (None, told["prompt_cycles_per_token"]), told))
    return rows


NETWORKS: dict[str, Callable[[Bench, str, Sequence[str]], list[tuple[str, ...]]]] = {
    "microLlama16": quantlib("microLlama/INT8/microLlama16"),
    "microLlama64": quantlib("microLlama/INT8/microLlama64"),
    "microLlama128": quantlib("microLlama/INT8/microLlama128"),
    "microLlama8_parallel": quantlib("microLlama/INT8/microLlama8_parallel"),
    "KeywordSpotting": quantlib("MLPerf/KeywordSpotting"),
    "ResNet-8 int8": resnet,
    "tinystories": story,
    **dict.fromkeys(PROMPTS, prompt),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, help="the folder of the shared data")
    parser.add_argument("--timing", nargs="+", choices=TIMINGS, default=TIMINGS)
    parser.add_argument("--npu", nargs="+", choices=("on", "off"), default=("on", "off"))
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS), metavar="NAME")
    args = parser.parse_args()
    names = [name for name in args.only if args.shared or name.startswith(BUNDLED)]
    with tempfile.TemporaryDirectory() as folder:
        notes: list[str] = []
        benches = [Bench(args.shared, Path(folder), npu, notes) for npu in args.npu]
        rows = [line for name in names for bench in benches for line in NETWORKS[name](bench, name, args.timing)]
    print(table([HEAD, *rows], right=tuple(range(4, 11))))
    print("\n".join(["", *notes, *SOURCES]))


if __name__ == "__main__":
    main()
