"""Whatever goes wrong: one message, the right exit code, a JSON file, and nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Tilewright
from tilewright import cli
from tilewright.errors import UserError


def words(text: str, **places: object) -> list[str]:
    return [word.format(**places) for word in text.split()]


CASES = {
    "frobnicate": "No such command",
    "compile": "Missing",
    "compile {toy}": "Missing option",
    "compile {tmp}/none.bin -o {tmp}/out": "no such model",
    "compile {toy} -o {tmp}/out -t pdp11": "targets are host",
    "compile {toy} -o {tmp}/out --option speed=9": "options are",
    "compile {toy} -o {tmp}/out --option ram=many": "ram=BYTES",
    "compile {toy} -o {tmp}/out --option ram=64": "give at least",
    "compile {toy} -o {tmp}/out --tokenizer {tmp}/none": "no such tokenizer",
    "compile {noise} -o {tmp}/out": "",
    "compile {toy} -o {tmp}/noise/out --bogus": "No such option",
    "compile {toy} -o {full}": "is not a compiled network",
    "compile {toy} -o {noise}/under": "",
    "run {tmp}": "is not a compiled network",
    "compile {full} -o {tmp}/out": "holds no model",
    "run {tmp}/none": "no such model",
    "run {dense} --inputs {tmp}/none.npz": "no such file",
    "run {dense} --inputs {noise}": "not a usable npz",
    "run {dense} --expect {noise}": "not a usable npz",
    "run {dense} --repeat 0": "0 is not in the range",
    "generate {dense}": "",
    "generate {toy} -n -1": "-1 is not in the range",
    "generate {toy} --temperature -1": "temperature is",
    "generate {toy} --temperature nan": "temperature is",
    "generate {toy} --top-p 0": "top-p",
    "generate {toy} --seed -1": "seed",
    "evaluate {toy} --text {tmp}/none": "no such text",
    "evaluate {toy}": "Missing option",
    "evaluate {toy} --text {empty}": "no story",
    "evaluate {toy} --text {empty} -t nowhere": "",
    "report {tmp}": "is not a compiled network",
    "explain {dense} nothing": "no node named 'nothing'",
}


@pytest.mark.parametrize("text", CASES)
def test_user_errors(text: str, tilewright: Tilewright, toy: Path, compiled_dense: Path, tmp_path: Path) -> None:
    noise, full, empty = tmp_path / "noise.bin", tmp_path / "full", tmp_path / "empty"
    noise.write_bytes(bytes(range(256)) * 3)
    empty.write_bytes(b"")
    full.mkdir()
    (full / "precious").write_text("mine")
    before = {p for p in tmp_path.rglob("*") if p.name != "outcome.json"}
    places = {"toy": toy, "tmp": tmp_path, "noise": noise, "full": full, "dense": compiled_dense, "empty": empty}
    run = tilewright(*words(text, **places))
    assert run.code == 2
    message = [line for line in run.err.splitlines() if not line.endswith(" ...") and not line.startswith("note:")]
    assert len(message) == 1, run.err
    assert message[0].startswith("error: ")
    assert CASES[text] in message[0]
    assert "Traceback" not in run.err
    assert run.out == ""
    assert run.json["ok"] is False
    assert message[0] == f"error: {run.json['error']}"
    assert {p for p in tmp_path.rglob("*") if p.name != "outcome.json"} == before, "nothing half-written"


@pytest.mark.parametrize("json", [(), ("--json",)])
def test_no_verb_shows_the_verbs(json: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run([*json]) == 2
    assert ("No such option" if json else "Verbs:") in capfd.readouterr().err


@pytest.mark.parametrize("debug", ["0", "1"])
def test_a_defect_is_called_one(tilewright: Tilewright, monkeypatch: pytest.MonkeyPatch, debug: str) -> None:
    def broken(*_: object) -> None:
        raise KeyError("weights")

    monkeypatch.setattr("tilewright.commands.common.options", broken)
    monkeypatch.setenv("TILEWRIGHT_DEBUG", debug)
    run = tilewright("compile", "x", "-o", "y")
    assert run.code == 70
    assert ("Traceback" in run.err) == (debug == "1")
    assert "internal error, please report it: KeyError: 'weights'" in run.err
    assert run.json["ok"] is False
    assert "KeyError" in run.json["error"]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            UserError("too wide", where="conv1", rule="width <= 8", hint="cut it"),
            2,
            "conv1: too wide; rule: width <= 8; cut it",
        ),
        (KeyboardInterrupt(), 130, "interrupted"),
        (PermissionError(13, "Permission denied", "/etc/out"), 2, "/etc/out: Permission denied"),
        (MemoryError(), 70, "MemoryError"),
    ],
)
def test_exit_codes(
    tilewright: Tilewright, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("tilewright.commands.common.options", fails)
    run = tilewright("compile", "x", "-o", "y")
    assert run.code == code
    assert said in run.json["error"]
    assert "Traceback" not in run.err


def test_json_that_cannot_be_written(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert cli.run(["targets", "--json", str(tmp_path / "file" / "out.json")]) == 2
    assert "cannot write" in capfd.readouterr().err


def test_json_of_an_earlier_run_is_replaced_whole(tilewright: Tilewright, tmp_path: Path) -> None:
    assert "targets" in tilewright("targets").json
    assert "targets" not in tilewright("report", tmp_path / "none").json
    assert [p.name for p in tmp_path.iterdir()] == ["outcome.json"], "no temporary file is left"


def program(*arguments: object, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tilewright", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload,no-any-return]


def test_a_reader_that_leaves_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    with program("targets", stdout=write) as process:
        os.close(write)
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 141
    assert said == ""


def test_interrupt_ends_cleanly(toy: Path, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("<|endoftext|>".join(["some story of the toy"] * 100_000))
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # what starts the tests may ignore it
    options = {"stdout": subprocess.DEVNULL, "start_new_session": True, **heard}
    with program(
        "evaluate", toy, "-t", "reference", "--text", text, "--json", tmp_path / "o.json", **options
    ) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert first.startswith("evaluating 100,000 stories")
        time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert rest == "error: interrupted\n"
    assert '"ok": false' in (tmp_path / "o.json").read_text()


@pytest.mark.parametrize(
    ("level", "said"), [(1, "plan for host"), (2, "kernels of"), (3, "graph "), (4, "menu of"), (5, "first-fit packs")]
)
def test_debug_levels(toy: Path, tmp_path: Path, level: int, said: str) -> None:
    command = [sys.executable, "-m", "tilewright", "compile", str(toy), "-o", str(tmp_path / "c"), "--no-build"]
    printed = [
        subprocess.run(
            command, env={**os.environ, "TILEWRIGHT_DEBUG": str(n)}, capture_output=True, text=True, check=True
        ).stderr
        for n in (level - 1, level)
    ]
    lines = [[line.startswith(said) for line in text.splitlines()] for text in printed]
    assert not any(lines[0])
    assert any(lines[1])


def test_dump_holds_the_graph_after_every_pass(tilewright: Tilewright, toy: Path, tmp_path: Path) -> None:
    run = tilewright("compile", toy, "-o", tmp_path / "c", "--no-build", "--dump", tmp_path / "dump")
    assert run.code == 0
    names = sorted(p.name for p in (tmp_path / "dump").iterdir())
    assert {"prefill.00.frontend.txt", "decode.00.frontend.txt", "decode.program.txt"} <= set(names)
