"""Comparing two programs on a machine that others use too."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tilewright.targets.host.runner import HostRunner


@dataclass(frozen=True)
class Comparison:
    """CPU microseconds per call, median and least, of ours and theirs, measured in turn."""

    ours: float
    theirs: float
    ours_least: float
    theirs_least: float

    @property
    def ratio(self) -> float:
        """Our median over theirs."""
        return self.ours / self.theirs

    def __str__(self) -> str:
        return (
            f"ours {self.ours:.1f} us (least {self.ours_least:.1f}), theirs {self.theirs:.1f} us "
            f"(least {self.theirs_least:.1f}), ratio {self.ratio:.3f}"
        )


def compare(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    *,
    rounds: int = 300,
    before: Callable[[], object] = lambda: None,
) -> Comparison:
    """Call both alternately, so that whatever slows the machine down slows both; `before` each call, not timed."""
    left, right = alternately([ours, theirs], rounds=rounds, before=before)
    return Comparison(statistics.median(left), statistics.median(right), min(left), min(right))


def alternately(
    calls: Sequence[Callable[[], object]], *, rounds: int, before: Callable[[], object] = lambda: None
) -> list[list[float]]:
    """CPU microseconds of each call in each round, called in turn."""
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:
        for _ in range(10):
            before()
            call()
    for _ in range(rounds):
        for call, into in zip(calls, times, strict=True):
            before()
            start = time.process_time_ns()
            call()
            into.append((time.process_time_ns() - start) / 1e3)
    return times


def compiled(model: str, folder: str, *options: str) -> HostRunner:
    """The model in generated C, built for this machine."""
    subprocess.run([sys.executable, "-m", "tilewright", "compile", model, "-t", "host", "-o", folder, *options],
                   check=True, stdout=subprocess.DEVNULL)  # fmt: skip
    return HostRunner(Path(folder))


def onnxruntime_call(model: str) -> Callable[[], object]:
    """One inference of an ONNX file on one thread, with zeros for inputs."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    types = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}
    feeds = {i.name: np.zeros([d if isinstance(d, int) else 1 for d in i.shape], types[i.type])
             for i in session.get_inputs()}  # fmt: skip
    return lambda: session.run(None, feeds)
