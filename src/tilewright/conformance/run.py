"""Whole suites: in batches on the host, case by case on targets that have a runner of their own."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from ..cgen.project import write
from ..errors import UserError
from ..options import Options
from ..targets.base import Target
from ..targets.registry import find, runner
from .batch import Ready, prepare, run_batch
from .cases import FAILED, PASSED, SUITES, Case, Verdict, difference

BATCH = 40


def run_onnx(source: Path, target: str = "host", jobs: int = 1, options: Options | None = None) -> list[Verdict]:
    """Verdicts on ONNX's operator vectors in a folder or an archive."""
    return list(run_suite("onnx", source, target, jobs, options or Options()))


def run_quantlib(source: Path, target: str = "host", jobs: int = 1, options: Options | None = None) -> list[Verdict]:
    """Verdicts on the networks of the QuantLib dialect below a folder."""
    return list(run_suite("quantlib", source, target, jobs, options or Options()))


def sample(suite: str, source: Path, count: int, seed: int) -> set[str]:
    """Names of `count` of a suite's cases, or of all where there are no more; a seed has one answer."""
    names = sorted(case.name for case in _cases(suite, source))
    return set(random.Random(seed).sample(names, min(count, len(names))))


def _cases(suite: str, source: Path) -> list[Case]:
    if suite not in SUITES:
        raise UserError(f"no suite named {suite!r}", hint=f"suites are {', '.join(SUITES)}")
    return SUITES[suite](source)


def run_suite(
    suite: str, source: Path, target: str, jobs: int, options: Options, wanted: Callable[[str], bool] = lambda _: True
) -> Iterator[Verdict]:
    """Verdicts on a suite's cases whose names are wanted, in order, as they come."""
    find(target, options)
    names = [case.name for case in _cases(suite, source) if wanted(case.name)]
    size = max(1, min(BATCH, -(-len(names) // max(1, jobs))))
    chunks = [names[i : i + size] for i in range(0, len(names), size)]
    if jobs <= 1 or len(chunks) <= 1:
        for chunk in chunks:
            yield from _chunk(suite, source, target, options, chunk)
        return
    done: dict[int, list[Verdict]] = {}
    following = 0
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        futures = {pool.submit(_chunk, suite, source, target, options, chunk): i for i, chunk in enumerate(chunks)}
        for future in as_completed(futures):
            done[futures[future]] = future.result()
            while following in done:
                yield from done.pop(following)
                following += 1


_loaded: dict[tuple[str, Path], dict[str, Case]] = {}


def _chunk(suite: str, source: Path, target: str, options: Options, names: Sequence[str]) -> list[Verdict]:
    """Verdicts on some cases; a worker process reads the suite once."""
    if (suite, source) not in _loaded:
        _loaded[suite, source] = {case.name: case for case in SUITES[suite](source)}
    cases = [_loaded[suite, source][name] for name in names]
    chosen = find(target, options)
    with tempfile.TemporaryDirectory(prefix="tilewright-") as folder:
        if target == "host":
            return run_batch(cases, chosen, options, Path(folder))
        return [run_case(case, chosen, options, Path(folder) / str(i)) for i, case in enumerate(cases)]


def run_case(case: Case, target: Target, options: Options, folder: Path) -> Verdict:
    """One case as a project of its own, by the target's runner, twice in a row."""
    item = prepare(case, "network", target, options)
    if not isinstance(item, Ready):
        return item
    graph = item.compiled.plan.entries[-1].graph
    try:
        write(item.compiled, folder)
        machine = runner(target.name, folder)
        for data in item.data:
            for outputs in machine.series(data.inputs, 2, None):
                found = difference(graph, outputs, data.outputs)
                if found is not None:
                    return Verdict(case.name, FAILED, found)
    except Exception as error:
        return Verdict(case.name, FAILED, f"{type(error).__name__}: {error}")
    return Verdict(case.name, PASSED)
