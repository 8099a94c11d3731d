"""The operator of docs/add-an-operator.md, put into a copy of the package and tried."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs.examples import ROOT

_FILE = re.compile(r"^```\w+ title=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAM = """
import ctypes, dataclasses, pathlib, sys
from hypothesis import given, settings, strategies as st
from tests.instances import agree, expected, op_instances, row_instances
from tests.ops.tiling import compute_tiled, cuts
from tilewright.interp.native import call, shared_library
from tilewright.ops.squared_relu import SquaredReLU
from tilewright.targets.host.primer import PRIMER
from tilewright.targets.host.target import HOST

built = shared_library(dataclasses.replace(HOST, kernels=PRIMER), pathlib.Path(sys.argv[1]))
library = ctypes.CDLL(str(built))
tried = 0

@settings(max_examples=30, deadline=None, database=None)
@given(st.data())
def check(data):
    global tried
    node, arrays = data.draw(op_instances(SquaredReLU))
    want = expected(node, arrays)
    tiles = compute_tiled(node, arrays, data.draw(cuts(node)), node.op.domain(*node.types))
    assert agree(tiles["y"], want["y"])
    node, arrays = data.draw(row_instances(PRIMER[0]))
    assert agree(call(library, PRIMER[0], node, arrays)["y"], expected(node, arrays)["y"])
    tried += 1

check()
print("instances tried:", tried)
"""


def test_the_operator_of_the_page_works(tmp_path: Path) -> None:
    package = tmp_path / "src" / "tilewright"
    shutil.copytree(
        ROOT / "src" / "tilewright", package, ignore=shutil.ignore_patterns("models", "__pycache__", "*.safetensors")
    )
    files = dict(_FILE.findall((ROOT / "docs" / "add-an-operator.md").read_text()))
    assert len(files) == 3
    for name, text in files.items():
        assert not (tmp_path / name).exists(), f"{name} is taken, the page needs another example"
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "build")],
        env={**os.environ, "PYTHONPATH": f"{tmp_path / 'src'}{os.pathsep}{ROOT}"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) >= 30
    for name in files:
        if name.endswith(".py"):
            checked = subprocess.run(
                [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), str(tmp_path / name)],
                capture_output=True, text=True,
            )  # fmt: skip
            assert checked.returncode == 0, checked.stdout
