"""How far predicted cycles are from simulated ones: networks, budgets of L1, and the phases of each.

    python bench/predictions.py --shared ../shared [--l1 all 64000 16000] [--npu on off] [--only TEXT ...]

Simulated cycles are of the second run under `--timing gvsoc`. A phase that is off counts by the cycles that it takes:
`phases off` is the share of a run's cycles in phases that were predicted more than a quarter too short or too long.
Phases behind which the cores wait for something started earlier take that wait too.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from siracusa import Bench, call, input_of
from tilewright.commands.common import table

HEAD = ("network", "l1", "npu", "predicted", "simulated", "off", "phases off")
PHASE = 0.25  # how far a phase may be off
OWN = ("resnet8", "micro_kws_m_static_fp32")  # float networks that are quantised as well


def networks(bench: Bench, only: Sequence[str]) -> dict[str, Path]:
    """Files by name: the dialect's models, the float and quantised networks, and those that `quantize` makes."""
    models = bench.data / "quantlib" / "Models"
    found = {str(p.parent.relative_to(models)): p.parent for p in sorted(models.rglob("network.onnx"))}
    found |= {p.stem: p for p in sorted((bench.data / "onnx").glob("*.onnx"))}
    found |= {f"{name} quantised": bench.data / "onnx" / f"{name}.onnx" for name in OWN}
    return {name: path for name, path in found.items() if not only or any(text in name for text in only)}


def quantised(bench: Bench, source: Path) -> Path:
    """The integer network that the tool makes of a float one, from eight seeded samples."""
    import numpy as np

    rng, samples = np.random.default_rng(0), bench.folder / "samples.npz"
    port, shape = input_of(source)
    np.savez(samples, **{port: rng.normal(0, 0.4, (8, *shape[1:])).astype(np.float32)})
    path = bench.folder / f"{source.stem}_int8.onnx"
    call(bench, "quantize", source, "--calibrate", samples, "-o", path)
    return path


def share_off(phases: Sequence[dict[str, Any]]) -> float:
    """Of a run's cycles, the share in phases that are further off than PHASE."""
    pairs = [(p["cycles_predicted"], p["cycles_simulated"]) for p in phases]
    off = sum(seen for told, seen in pairs if abs(told - seen) > PHASE * seen)
    return off / max(sum(seen for _, seen in pairs), 1)


def measured(bench: Bench, name: str, path: Path, l1: str) -> tuple[str, ...]:
    """A line of the table; a network that does not fit the budget says so."""
    options = ["--option", f"npu={bench.npu}", *(["--option", f"l1={l1}"] if l1 != "all" else [])]
    given = ["--inputs", path / "inputs.npz"] if path.is_dir() else []
    try:
        told = call(
            bench, "run", path, "-t", "siracusa", *options, *given, "--repeat", 2, "--timing", "gvsoc"
        )  # fmt: skip
    except SystemExit as refusal:
        if "needs at least" not in str(refusal):
            raise
        return (name, l1, bench.npu, "-", "-", "-", "does not fit")
    predicted, seen = told["cycles_predicted"], told["cycles"]
    off = f"{100 * (predicted / seen - 1):+.1f} %"
    return (name, l1, bench.npu, f"{predicted:,.0f}", f"{seen:,}", off, f"{100 * share_off(told['phases']):.0f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="the folder of the shared data")
    parser.add_argument("--l1", nargs="+", default=["all"], help="bytes of L1, or all")
    parser.add_argument("--npu", nargs="+", choices=("on", "off"), default=("on", "off"))
    parser.add_argument("--only", nargs="+", default=[], metavar="TEXT", help="part of a network's name")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, path in networks(Bench(args.shared, Path(folder)), args.only).items():
            for npu in args.npu:
                bench = Bench(args.shared, Path(folder), npu)
                made = quantised(bench, path) if name.endswith(" quantised") else path
                for l1 in args.l1:
                    rows.append(measured(bench, name, made, l1))
                    print(*rows[-1], sep="  ", flush=True)
    print(table([HEAD, *rows], right=(3, 4, 5, 6)))


if __name__ == "__main__":
    main()
