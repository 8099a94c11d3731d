"""Names, fields, exit codes and messages of the command line, as scripts rely on them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import TOY, Tilewright
from tilewright.cli import VERBS

COMPILED = {
    "ok", "target", "compile_seconds", "macs", "ram_bytes", "flash_bytes", "stack_bytes", "memory", "layers",
}  # fmt: skip


def test_compile_writes_a_project_and_tells_its_sizes(tilewright: Tilewright, toy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    run = tilewright("compile", toy, "-t", "host", "-o", folder)
    assert run.code == 0
    assert run.json.keys() >= COMPILED
    assert run.json["ok"] is True
    assert "error" not in run.json
    names = {p.name for p in folder.iterdir()}
    assert {"CMakeLists.txt", "memory.h", "plan.json", "report.html", "toy.c", "toy_lm.h"} <= names
    assert f"{run.json['ram_bytes']:,} bytes" in run.out
    assert f"{run.json['flash_bytes']:,} bytes" in run.out
    assert f"{run.json['stack_bytes']:,} bytes" in run.out
    assert run.json["peak"]["node"] in run.out
    assert run.json["memory"] == {"ram": run.json["ram_bytes"], "flash": run.json["flash_bytes"]}
    cache = 2 * TOY.layers * TOY.context * (TOY.dim // TOY.heads) * TOY.kv_heads * 4
    assert run.json["state_bytes"] >= cache, "the kernel may pad it"
    assert run.json["ram_bytes"] >= cache + run.json["arena_bytes"]
    assert run.json["flash_bytes"] == run.json["code_bytes"] + run.json["constant_bytes"]
    assert run.json["constant_bytes"] >= run.json["weight_bytes"]


def test_layers_name_what_runs(tilewright: Tilewright, toy: Path, tmp_path: Path) -> None:
    run = tilewright("compile", toy, "-o", tmp_path / "out", "--no-build")
    assert run.code == 0
    assert not {"flash_bytes", "stack_bytes"} & run.json.keys(), "unknown before a build"
    for layer in run.json["layers"]:
        assert {"name", "op", "engine", "kernel", "tile", "bytes", "macs"} <= layer.keys()
    assert sum(layer["macs"] for layer in run.json["layers"]) == run.json["macs"]
    assert "blocks.1.attention" in [layer["name"] for layer in run.json["layers"]]


def test_compiling_twice_gives_the_same_bytes(tilewright: Tilewright, toy: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert tilewright("compile", toy, "-o", tmp_path / name, "--no-build").code == 0
    a, b = (
        {p.relative_to(d): p.read_bytes() for p in d.rglob("*") if p.is_file()}
        for d in (tmp_path / "a", tmp_path / "b")
    )
    assert a == b


def test_generate_tells_text_tokens_and_speed(tilewright: Tilewright, toy: Path) -> None:
    words = ("generate", toy, "-t", "host", "--prompt", "ab", "-n", 9, "--ignore-eos", "--temperature", 1, "--seed", 3)
    run = tilewright(*words)
    assert run.code == 0
    assert {"ok", "target", "text", "tokens", "positions", "tokens_per_second"} <= run.json.keys()
    assert not {"cycles_per_token", "cycles"} & run.json.keys(), "the host counts no cycles"
    assert run.json["text"].startswith("ab")
    assert run.json["tokens"] == 9
    assert run.json["positions"] == [3, 10], "bos, ` a` and `b` stand at 0 to 2"
    assert run.json["tokens_per_second"] > 0
    assert run.out.rstrip("\n").encode("utf-8", "replace").startswith(b"ab")
    assert tilewright(*words).json["text"] == run.json["text"]
    assert tilewright(*words[:-1], 4).json["text"] != run.json["text"]


def test_generate_ends_with_the_context(tilewright: Tilewright, toy: Path) -> None:
    run = tilewright("generate", toy, "-n", 1000, "--ignore-eos")
    assert run.code == 0
    assert run.json["tokens"] == TOY.context, "every position gives one token"
    assert run.json["positions"] == [1, TOY.context - 1]


def test_a_prompt_beyond_the_context_is_refused(tilewright: Tilewright, toy: Path) -> None:
    assert tilewright("generate", toy, "-n", 1, "--prompt", "x" * (TOY.context - 2)).code == 0
    run = tilewright("generate", toy, "-n", 1, "--prompt", "x" * (TOY.context - 1))
    assert run.code == 2
    assert f"{TOY.context + 1} tokens" in run.err
    assert f"context of the model is {TOY.context}" in run.err


@pytest.mark.parametrize("target", ["host", "reference"])
def test_evaluate_scores_what_the_protocol_says(tilewright: Tilewright, toy: Path, tmp_path: Path, target: str) -> None:
    text = tmp_path / "text"
    text.write_text("ab ba\n<|endoftext|>\n  second story \n<|endoftext|>\nthird")
    run = tilewright("evaluate", toy, "-t", target, "--text", text, "--limit", 20)
    assert run.code == 0
    assert {"ok", "target", "nats_per_token", "bits_per_byte"} <= run.json.keys()
    assert run.json["target"] == target
    assert run.json["stories"] == 2
    assert run.json["bytes"] == len("ab ba") + len("second story")
    nats = run.json["nats_per_token"] * run.json["tokens"]
    assert run.json["bits_per_byte"] == pytest.approx(nats / np.log(2) / run.json["bytes"])


def test_c_has_the_loss_of_the_reference(tilewright: Tilewright, toy: Path, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("ab ba abba<|endoftext|>a much longer story than the context of the toy holds<|endoftext|>b")
    losses = [
        tilewright("evaluate", toy, "-t", t, "--text", text).json["nats_per_token"] for t in ("host", "reference")
    ]
    assert abs(losses[0] - losses[1]) < 5e-4


def test_targets(tilewright: Tilewright) -> None:
    run = tilewright("targets")
    assert run.code == 0
    assert "host" in [t["name"] for t in run.json["targets"]]
    assert all({"name", "description", "memories", "engines"} <= t.keys() for t in run.json["targets"])
    assert run.out.startswith("host ")


def test_help_lists_every_verb_that_is_there(tilewright: Tilewright) -> None:
    for verb in ("compile", "run", "generate", "evaluate", "targets", "report", "explain"):
        assert verb in VERBS
        run = tilewright(verb, "--help")
        assert run.code == 0
        assert "--json" in run.out


def test_numbers_that_json_lacks_become_null(tmp_path: Path) -> None:
    from tilewright.output import Outcome

    outcome = Outcome({"a": float("nan"), "b": np.float32(0.5), "c": [np.int64(3), float("inf")]}, tmp_path / "o.json")
    outcome.write(0, None)
    assert json.loads((tmp_path / "o.json").read_text()) == {"ok": True, "a": None, "b": 0.5, "c": [3, None]}
