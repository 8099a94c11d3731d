"""docs/SUPPORT.md: what runs where, printed from converters, operators, kernel rows and the results of the suites.

    python -m tilewright.conformance.support docs                                   print it anew from what is known
    python -m tilewright.conformance.support docs --onnx ARCHIVE --quantlib FOLDER  run the suites first

Results are kept in docs/conformance.json, so that the page can be checked without running them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ..files import replace_file
from ..ir.op import REGISTRY, Op
from ..targets.base import Kernel
from ..targets.registry import TARGETS, find
from .cases import Verdict

PAGE, RESULTS = "SUPPORT.md", "conformance.json"
HEAD = """# What is supported

Printed by `python -m tilewright.conformance.support docs` from the converters, the operators, the kernel rows and
`docs/conformance.json`; a test fails when it is stale. What is not listed is refused with the node, its origin in
the model, the rule and the next step, before any C is compiled.
"""


def summary(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """What is kept of a suite's verdicts."""
    count = Counter(v.status for v in verdicts)
    rules = Counter(_short(v.rule) for v in verdicts if v.status == "refused")
    return {
        "cases": len(verdicts), **{status: count[status] for status in ("passed", "failed", "refused")},
        "rules": dict(sorted(rules.items(), key=lambda item: (-item[1], item[0]))),
    }  # fmt: skip


def _short(rule: str) -> str:
    """A rule without the kernels that it was tried on."""
    first = rule.split("; ")[0]
    return first.split(": ", 1)[1] if first.startswith("tw_") and ": " in first else first


def page(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The text of SUPPORT.md."""
    return "\n".join([HEAD, *_results(results), *_onnx(), *_operators()]).rstrip() + "\n"


def _results(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = ["## Conformance", "", "| suite and target | cases | passed | failed | refused |", "|---|---|---|---|---|"]
    for name, found in sorted(results.items()):
        lines.append(f"| {name} | {found['cases']} | {found['passed']} | {found['failed']} | {found['refused']} |")
    for name, found in sorted(results.items()):
        if found["rules"]:
            lines += ["", f"Rules that refused cases of {name}:", "", "| cases | rule |", "|---|---|"]
            lines += [f"| {count} | {rule} |" for rule, count in found["rules"].items()]
    return [*lines, ""]


def _onnx() -> list[str]:
    from ..frontend.onnx import CONVERTERS
    from ..frontend.quantlib import INTEGER, MARKS

    direct = sorted(name for name in CONVERTERS if "." not in name)
    contributed = sorted(name for name in CONVERTERS if "." in name)
    dialect = sorted(name for name in INTEGER if name in MARKS)
    return [
        "## ONNX operators", "",
        "Opsets 1 to the newest, static shapes; a leading unknown dimension is a batch and becomes 1.", "",
        f"Converted ({len(direct)}): {', '.join(direct)}.", "",
        f"Of other domains: {', '.join(contributed)}.", "",
        "What the standard defines in terms of these is expanded: Attention, RotaryEmbedding, AffineGrid,",
        "NegativeLogLikelihoodLoss, SoftmaxCrossEntropyLoss and others. If takes the branch of a constant.", "",
        f"QuantLib's integer dialect: {', '.join(dialect)}.", "",
    ]  # fmt: skip


def _operators() -> list[str]:
    lines = ["## Operators and kernels", ""]
    for name, op in sorted(REGISTRY.items()):
        if name.startswith("_"):
            continue
        about = (op.__doc__ or "").strip().splitlines()[0]
        lines += [f"### {name}", "", about, ""]
        if op.view:
            lines += ["A view: it moves no data and needs no kernel.", ""]
            continue
        for target in TARGETS:
            lines += _rows(target, op)
    return lines


def _rows(target: str, op: type[Op]) -> list[str]:
    rows = [k for k in find(target).kernels if k.op is op]
    if not rows:
        return [f"- {target}: no kernel", ""]
    lines = [f"- {target}: {_types(rows)}"]
    rules = dict.fromkeys(" ".join((rule.__doc__ or rule.__name__).split()) for k in rows for rule in k.requires)
    return [*lines, *(f"  - {rule}" for rule in rules), ""]


def _types(rows: Sequence[Kernel]) -> str:
    """Element types of the first operand that rows name, and the symbols."""
    kinds = dict.fromkeys(next(iter(k.dtypes.values()), "*") for k in rows)
    symbols = dict.fromkeys(k.symbol for k in rows)
    listed = "any element type" if "*" in kinds else ", ".join(kinds)
    return f"{listed} ({', '.join(f'`{s}`' for s in symbols)})"


def stored(docs: Path) -> dict[str, Any]:
    """Results as they were kept."""
    path = docs / RESULTS
    return dict(json.loads(path.read_text())) if path.exists() else {}


@click.command()
@click.argument("docs", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--onnx", type=click.Path(path_type=Path, exists=True), help="ONNX's vectors: run them again.")
@click.option("--quantlib", type=click.Path(path_type=Path, exists=True), help="QuantLib networks: run them again.")
def main(docs: Path, onnx: Path | None, quantlib: Path | None) -> None:
    """Write the page into the folder DOCS; run the suites whose data are named."""
    from .run import run_onnx, run_quantlib

    results = stored(docs)
    for suite, vectors, run in (("onnx", onnx, run_onnx), ("quantlib", quantlib, run_quantlib)):
        if vectors is not None:
            results[f"{suite}, host"] = summary(run(vectors, "host", 2))
    replace_file(docs / RESULTS, json.dumps(results, indent=1) + "\n")
    replace_file(docs / PAGE, page(results))


if __name__ == "__main__":
    main()
