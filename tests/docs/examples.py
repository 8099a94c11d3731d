"""Examples in Markdown files: blocks of ```console, commands behind `$ `, what they print below.

    python -m tests.docs.examples README.md docs/quickstart.md

runs them and writes what they print now into the files. A line `...` stands for any lines, and is kept.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"\d[\d,.]*")
_UNSEEN = re.compile(r"(?<=not counting )\w+(, \w+)*")  # what the C compiler calls by itself


@dataclass(frozen=True)
class Example:
    """A command and what a file says that it prints."""

    command: str
    output: str

    def agrees(self, printed: str) -> bool:
        """The same words; what depends on the machine is not compared: numbers, columns, calls."""
        parts = [re.escape(_shape(part)) for part in re.split(r"^\.\.\.$", self.output, flags=re.MULTILINE)]
        return re.fullmatch(r".*".join(part.strip(r"\ ") for part in parts), _shape(printed), re.DOTALL) is not None


def _shape(text: str) -> str:
    return " ".join(_NUMBER.sub("#", _UNSEEN.sub("#", text)).split())


def read(path: Path) -> list[Example]:
    """All examples of a file, in order."""
    return [example for block in _BLOCK.findall(path.read_text()) for example in _split(block)]


def _split(block: str) -> Iterator[Example]:
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        while command.endswith("\\"):
            more, _, output = output.partition("\n")
            command = f"{command}\n{more}"
        yield Example(command, output)


def run(example: Example, folder: Path) -> str:
    """What the command prints on stdout, in a shell in which `tilewright` is this one. RuntimeError if it fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", example.command], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"$ {example.command}\nexit code {done.returncode}: {done.stderr.strip()}")
    return "\n".join(line.rstrip() for line in done.stdout.rstrip().splitlines()) + "\n" if done.stdout.strip() else ""


def refresh(path: Path) -> None:
    """Put what the commands print now into the file."""

    def renewed(block: re.Match[str]) -> str:
        parts = [
            f"$ {e.command}\n{e.output if re.search(r'^[.]{3}$', e.output, re.MULTILINE) else run(e, Path(folder))}"
            for e in _split(block[1])
        ]
        return f"```console\n{''.join(parts)}```"

    with tempfile.TemporaryDirectory() as folder:
        path.write_text(_BLOCK.sub(renewed, path.read_text()))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        refresh(Path(name))
