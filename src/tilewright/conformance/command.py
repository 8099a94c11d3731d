"""`tilewright conformance`: a folder of test cases through the compiled code."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from ..commands.common import json_option, options, table, target_option
from ..output import DIFFERS, OK, Outcome


@click.command()
@click.argument("suite", metavar="onnx|quantlib")
@click.option("--vectors", required=True, type=click.Path(path_type=Path), help="Folder or archive of the cases.")
@click.option("-j", "--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes.")
@click.option("--only", metavar="TEXT", default="", help="Only cases whose names contain the text.")
@click.option("--sample", "count", type=click.IntRange(1), metavar="N", help="Only N cases, drawn at random.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which ones are drawn.")
@click.option("--option", "pairs", multiple=True, metavar="K=V", help="Option of the compiler; repeatable.")
@target_option()
@json_option
@click.pass_obj
def conformance(
    outcome: Outcome, suite: str, vectors: Path, jobs: int, only: str, count: int | None, seed: int,
    pairs: tuple[str, ...], target: str,
) -> int:  # fmt: skip
    """Run a suite of test cases: each is compiled, run twice and compared, or refused with a reason.

    Exits with 1 where a case failed; refused cases are no failures.
    """
    from .run import run_suite, sample

    drawn = None if count is None else sample(suite, vectors, count, seed)

    def wanted(name: str) -> bool:
        return only in name and (drawn is None or name in drawn)

    verdicts = []
    for verdict in run_suite(suite, vectors, target, jobs, options(pairs), wanted):
        verdicts.append(verdict)
        click.echo(f"{verdict.status:8} {verdict.name}{f': {verdict.reason}' if verdict.reason else ''}")
    found = Counter(v.status for v in verdicts)
    fields = {status: found[status] for status in ("passed", "failed", "refused")}
    outcome.add(target=target, cases=len(verdicts), **fields)
    rules = Counter(v.rule for v in verdicts if v.status == "refused")
    click.echo()
    click.echo(table([("cases", str(len(verdicts))), *((k, str(v)) for k, v in fields.items())], right=(1,)))
    if rules:
        click.echo()
        click.echo(table([(str(number), rule) for rule, number in rules.most_common()], right=(0,)))
    return DIFFERS if fields["failed"] else OK
