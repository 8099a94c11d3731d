"""Two compilations give the same program, whatever order sets and hashes have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
from tests.graphs import random_graph
from tests.schedule.test_tiled import chip, least
from tilewright.ir.text import program_text
from tilewright.passes.pipeline import apply
from tilewright.schedule.lower import lower
from tilewright.solve.plan import solve
for seed in range(4):
    graph = apply(random_graph(seed, 8), chip(1 << 17))
    for more in (0, 1000, 100000):
        target = chip(least(graph) + more)
        print(program_text(lower(solve((graph,), target), target)[0]))
"""


def printed(seed: str) -> str:
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root / "src"), str(root)])
    env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True)
    return done.stdout


def test_hashes_do_not_matter() -> None:
    assert printed("1") == printed("2") != ""
