"""The command line starts quickly: nothing heavy is imported before it is needed."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

HEAVY = ("numpy", "onnx", "onnx_ir", "ortools", "rich", "jinja2", "hypothesis", "tokenizers", "safetensors", "elftools")
LIMIT = 0.5  # seconds of CPU time


def modules(*words: str) -> set[str]:
    """The modules that a command line imports."""
    code = (
        "import sys; from tilewright.cli import run; code = run(sys.argv[1:]);"
        "print(*sys.modules, sep=chr(10), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("compile", "--help"), ("generate", "--help")])
def test_help_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    found = modules(*words)
    assert "tilewright.cli" in found
    assert not found & set(HEAVY)


def test_targets_imports_what_it_shows() -> None:
    assert not modules("targets") & (set(HEAVY) - {"numpy"})


@pytest.mark.parametrize("words", [("--help",), ("targets",)])
def test_start_takes_less_than_half_a_second(words: tuple[str, ...]) -> None:
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "tilewright", *words], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert min(times) < LIMIT
