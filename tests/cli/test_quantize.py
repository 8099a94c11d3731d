"""`quantize`, `--calibrate` and `--option quant=int8` of networks, as scripts rely on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Tilewright
from tests.quant.networks import random_inputs, random_network
from tilewright.frontend.onnx_write import write


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A float ONNX file and calibration for it."""
    folder, graph = tmp_path_factory.mktemp("network"), random_network(2)
    write(graph, folder / "net.onnx")
    np.savez(folder / "c.npz", image=np.stack([s["image"] for s in random_inputs(graph, 16, 0)]))
    return folder / "net.onnx", folder / "c.npz"


def test_quantize_writes_a_file_that_compiles(
    tilewright: Tilewright, network: tuple[Path, Path], tmp_path: Path
) -> None:
    model, samples = network
    made = tilewright("quantize", model, "--calibrate", samples, "-o", tmp_path / "q.onnx")
    assert made.code == 0
    assert made.json["snr_db"] > 20
    assert made.json["unseen"] is True
    assert (made.json["calibration_samples"], made.json["samples"]) == (12, 4)
    for layer in made.json["layers"]:
        assert {"name", "op", "arithmetic", "snr_db", "max_abs_error", "widening_gain_db", "fits32"} <= layer.keys()
    assert made.json["costliest"] in [x["name"] for x in made.json["layers"]]
    assert f"{made.json['snr_db']:.1f} dB" in made.out
    folders = tmp_path / "file", tmp_path / "direct"
    assert tilewright("compile", tmp_path / "q.onnx", "-o", folders[0], "--no-build", "--name", "net").code == 0
    direct = tilewright("compile", model, "--option", "quant=int8", "--calibrate", samples, "-o", folders[1],
                        "--no-build", "--name", "net")  # fmt: skip
    assert direct.code == 0
    assert direct.json["snr_db"] == pytest.approx(made.json["snr_db"], abs=0.01)
    assert f"{made.json['snr_db']:.1f} dB" in direct.out
    assert "tw_conv2d_i8" in (folders[1] / "net.c").read_text()
    rows = [[line for line in (f / "net_weights.c").read_text().splitlines() if not line.startswith("const")]
            for f in folders]  # fmt: skip
    assert sorted(rows[0]) == sorted(rows[1])


def test_keep(tilewright: Tilewright, network: tuple[Path, Path]) -> None:
    model, samples = network
    plain = tilewright("quantize", model, "--calibrate", samples)
    kept = tilewright("quantize", model, "--calibrate", samples, "--option", "keep=2")
    assert kept.json["snr_db"] > plain.json["snr_db"]
    assert kept.json["float_ops"] > plain.json["float_ops"]
    assert sum(x["arithmetic"] == "float" for x in kept.json["layers"]) >= 2


def test_without_calibration_there_is_a_warning(tilewright: Tilewright, network: tuple[Path, Path]) -> None:
    run = tilewright("quantize", network[0])
    assert run.code == 0
    assert "warning: no --calibrate" in run.err
    assert run.json["calibration"] == "random inputs"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--calibrate", "missing.npz"], "no such file: missing.npz"),
        (["--option", "keep=nothing"], "no layer named 'nothing'"),
        (["--option", "quant=w4"], "do not quantise to w4"),
    ],
)
def test_mistakes_are_named(tilewright: Tilewright, network: tuple[Path, Path], words: list[str], problem: str) -> None:
    run = tilewright("quantize", network[0], *words)
    assert run.code == 2
    assert problem in run.err
    assert problem in run.json["error"]


def test_language_models_tell_what_each_matrix_costs(tilewright: Tilewright, toy: Path) -> None:
    run = tilewright("quantize", toy, "--option", "quant=w4a8", "--limit", "2000")
    assert run.code == 0
    found = run.json
    assert found["quant"] == "w4a8"
    assert found["float_ops"] == 0
    assert found["increase"] == pytest.approx(found["nats_per_token"] / found["fp32_nats_per_token"] - 1)
    bits = {layer["name"]: layer["bits"] for layer in found["layers"]}
    assert bits["embed"] == 8
    assert bits["blocks.0.down"] == 4
    assert {layer["widening_gain_nats"] is None for layer in found["layers"] if layer["bits"] == 8} == {True}
    assert found["costliest"] == max(found["layers"], key=lambda layer: layer["cost_nats"])["name"]


def test_language_models_are_not_written_as_onnx(tilewright: Tilewright, toy: Path, tmp_path: Path) -> None:
    run = tilewright("quantize", toy, "-o", tmp_path / "q.onnx")
    assert run.code == 2
    assert "is a language model" in run.err
