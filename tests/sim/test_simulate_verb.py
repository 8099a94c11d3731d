"""`tilewright simulate`: the program's bytes on stdout, its exit code, reports on stderr, the fields of --json."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import assembler as asm
import pytest

ENTRY = 0x1C010000


def program(path: Path, text: bytes, code: int, fault: bool = False) -> Path:
    """An ELF that writes bytes to stdout and exits with a code, or ends in a fault."""
    p = asm.Program(ENTRY)
    p.label("start")
    p.li(7, asm.STDOUT)
    for byte in text:
        p.addi(6, asm.ZERO, byte)
        p.sb(6, 0, 7)
    if fault:
        p.word(0)
    asm.leave(p, code)
    asm.write_elf(path, ENTRY, [(ENTRY, p.assembled())], p.labels)
    return path


def tilewright(*words: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "tilewright", "simulate", *words], capture_output=True, check=False)


@pytest.mark.parametrize(("text", "code"), [(b"two\nlines\n", 0), (b"no line end", 5), (bytes([0, 255, 10, 128]), 0)])
def test_output_and_code_are_the_programs(tmp_path: Path, text: bytes, code: int) -> None:
    elf = program(tmp_path / "p.elf", text, code)
    done = tilewright(elf, "--json", tmp_path / "r.json", "--timing", "gvsoc")
    assert done.stdout == text
    assert done.returncode == code
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["ok"] == (code == 0)
    assert report["timing"] == "gvsoc"
    assert report["cycles"] > 0
    assert report["energy_uj"] > 0
    assert b"model" in done.stderr


def test_fault_is_three_and_says_where(tmp_path: Path) -> None:
    done = tilewright(program(tmp_path / "p.elf", b"before\n", 0, fault=True), "--json", tmp_path / "r.json")
    assert done.returncode == 3
    assert done.stdout == b"before\n"
    assert b"illegal instruction" in done.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert not report["ok"]
    assert "illegal instruction" in report["error"]
    assert "start" in report["error"]


def test_what_cannot_be_run_is_two(tmp_path: Path) -> None:
    (tmp_path / "text.elf").write_text("no program")
    for words in (["text.elf"], ["absent.elf"], ["text.elf", "--energy", "nothing=1"]):
        done = tilewright(tmp_path / words[0], *words[1:], "--json", tmp_path / "r.json")
        assert done.returncode == 2
        assert done.stdout == b""
        assert b"Traceback" not in done.stderr
        assert json.loads((tmp_path / "r.json").read_text())["error"]
