"""`tilewright run`: every repetition is compared, and the first mismatch is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.cli.conftest import TOY, Tilewright, dense
from tilewright.interp import graph as interpreter
from tilewright.lm.reference import Reference
from tilewright.targets import registry

X = np.arange(8, dtype=np.float32).reshape(2, 4) / 8 - 0.4


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    return interpreter.run(dense().entries[0], {"x": X})


def npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_real_c_gives_what_numpy_gives(
    tilewright: Tilewright, compiled_dense: Path, tmp_path: Path, expected: dict[str, np.ndarray]
) -> None:
    inputs, outputs = npz(tmp_path / "i.npz", anything=X.astype(np.float64)), tmp_path / "o.npz"
    wanted = npz(tmp_path / "e.npz", **expected)
    run = tilewright("run", compiled_dense, "--inputs", inputs, "--outputs", outputs, "--expect", wanted, "--repeat", 3)
    assert run.code == 0, run.err
    assert run.json["wrong_values"] == 0
    assert run.json["max_abs_error"] <= 1e-4
    assert {"target", "macs", "ram_bytes", "flash_bytes", "stack_bytes"} <= run.json.keys()
    assert run.json["ram_bytes"] == 3 * X.nbytes, "input and outputs are the caller's, and RAM all the same"
    assert "cycles" not in run.json, "the host counts none"
    with np.load(outputs) as written:
        assert list(written) == ["s", "t"]
        np.testing.assert_allclose(written["t"], expected["t"], rtol=1e-5, atol=1e-6)


def test_without_inputs_they_are_zeros(tilewright: Tilewright, compiled_dense: Path, tmp_path: Path) -> None:
    run = tilewright("run", compiled_dense, "--outputs", tmp_path / "o.npz")
    assert run.code == 0
    assert "all inputs are zeros" in run.err
    with np.load(tmp_path / "o.npz") as written:
        assert not written["s"].any()
    assert "wrong_values" not in run.json, "nothing was compared"


def test_a_language_model_runs_a_prompt(tilewright: Tilewright, toy: Path, compiled_toy: Path, tmp_path: Path) -> None:
    from tilewright.frontend.load import load
    from tilewright.options import Options

    language = load(str(toy), Options()).language
    assert language is not None
    tokens = np.array([1, 40, 7, 100, 3] * 4)
    logits = Reference(language.checkpoint).forward([tokens])[0][-1]
    inputs, wanted = npz(tmp_path / "i.npz", tokens=tokens), npz(tmp_path / "e.npz", logits=logits)
    run = tilewright("run", compiled_toy, "--inputs", inputs, "--expect", wanted, "--repeat", 2)
    assert run.code == 0, run.err
    wrong = npz(tmp_path / "e.npz", logits=np.roll(logits, 1))
    assert tilewright("run", compiled_toy, "--inputs", inputs, "--expect", wrong).code == 1
    two = npz(tmp_path / "two.npz", tokens=tokens, more=tokens)
    assert tilewright("run", compiled_toy, "--inputs", two).code == 2
    long = npz(tmp_path / "i.npz", tokens=np.ones(TOY.context + 1, np.int32))
    assert tilewright("run", compiled_toy, "--inputs", long).code == 2
    assert tilewright("run", compiled_toy).code == 2, "a language model has no zeros to run on"


def test_a_model_is_compiled_first(tilewright: Tilewright, toy: Path, tmp_path: Path) -> None:
    run = tilewright("run", toy, "--inputs", npz(tmp_path / "i.npz", tokens=np.array([1])), "--option", "chunk=4")
    assert run.code == 0
    assert run.json["compile_seconds"] > 0


Network = Callable[[Sequence[np.ndarray]], list[np.ndarray]]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, expected: dict[str, np.ndarray]) -> Callable[[Network], None]:
    """Put a Python function in the place of the built network."""

    def install(network: Network) -> None:
        runner = SimpleNamespace(
            series=lambda arrays, repeat, expected: (network(arrays) for _ in range(repeat)),
            built=SimpleNamespace(sizes=None), measured=dict, rows=lambda fields: [],
        )  # fmt: skip
        monkeypatch.setitem(registry.RUNNERS, "host", lambda folder, timing: runner)

    return install


@pytest.mark.parametrize("bad_run", [1, 2, 3])
def test_every_repetition_is_compared(
    tilewright: Tilewright, compiled_dense: Path, tmp_path: Path, stand_in: Callable[[Network], None],
    expected: dict[str, np.ndarray], bad_run: int,
) -> None:  # fmt: skip
    runs = 0

    def network(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        nonlocal runs
        runs += 1
        s, t = expected["s"].copy(), expected["t"].copy()
        if runs == bad_run:
            t[1, 2] += 0.5
            t[1, 3] += 0.25
        return [s, t]

    stand_in(network)
    wanted = npz(tmp_path / "e.npz", **expected)
    outputs = tmp_path / "o.npz"
    run = tilewright("run", compiled_dense, "--expect", wanted, "--repeat", 3, "--outputs", outputs)
    assert runs == 3
    assert run.code == 1
    assert run.json["ok"] is False
    assert run.json["wrong_values"] == 2
    assert run.json["max_abs_error"] == pytest.approx(0.5, rel=1e-5)
    got, ref = expected["t"][1, 2] + np.float32(0.5), expected["t"][1, 2]
    assert f"output t at [1, 2] is {got:.9g}, expected {ref:.9g}, in repetition {bad_run}" in run.json["error"]
    assert run.json["error"] in run.err
    assert outputs.exists(), "what was computed is kept for looking at"


def test_the_expectation_matches_by_name(
    tilewright: Tilewright, compiled_dense: Path, tmp_path: Path, stand_in: Callable[[Network], None],
    expected: dict[str, np.ndarray],
) -> None:  # fmt: skip
    stand_in(lambda inputs: [expected["s"], expected["t"]])
    swapped = npz(tmp_path / "e.npz", t=expected["t"], s=expected["s"])
    assert tilewright("run", compiled_dense, "--expect", swapped).code == 0
    by_order = npz(tmp_path / "e.npz", a=expected["t"], b=expected["s"])
    assert tilewright("run", compiled_dense, "--expect", by_order).code == 1
    missing = npz(tmp_path / "e.npz", t=expected["t"])
    assert tilewright("run", compiled_dense, "--expect", missing).code == 2


def test_inputs_that_do_not_fit_are_refused(tilewright: Tilewright, compiled_dense: Path, tmp_path: Path) -> None:
    for array, said in ((np.zeros((4, 2)), "shape"), (np.full((2, 4), 1e300), "does not fit")):
        run = tilewright("run", compiled_dense, "--inputs", npz(tmp_path / "i.npz", x=array))
        assert run.code == 2
        assert said in run.err
