"""Projects for people with boards: built by their own CMakeLists, without the package, they run on the simulator."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from elftools.elf.elffile import ELFFile
from onnx import TensorProto, helper, numpy_helper

from tilewright.api import compile_file
from tilewright.cgen.project import files, write
from tilewright.options import Options
from tilewright.sim import simulate
from tilewright.targets.registry import storyteller
from tilewright.targets.siracusa.build import build
from tilewright.targets.siracusa.export import PROJECT, STORY

needs_cmake = pytest.mark.skipif(
    shutil.which("cmake") is None or shutil.which("ninja") is None, reason="cmake and ninja are not installed"
)
L1, L2, WEIGHTS = range(0x10000000, 0x10040000), range(0x1C010000, 0x1C200000), range(0x10400000, 0x10C00000)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "a story"  # paths may have spaces
    write(compile_file("tinystories", "siracusa", Options()), folder)
    return folder


def affine(path: Path, bias: np.ndarray) -> Path:
    """y = x W + b, in floats."""
    weights = np.random.default_rng(3).normal(size=(24, bias.size)).astype(np.float32)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 24])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, bias.size])
    constants = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")]
    graph = helper.make_graph([helper.make_node("Gemm", ["x", "w", "b"], ["y"])], "affine", [x], [y], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def checksum(content: bytes) -> int:
    """FNV-1a of 32 bits."""
    found = 2166136261
    for byte in content:
        found = (found ^ byte) * 16777619 & 0xFFFFFFFF
    return found


def built(folder: Path, out: Path) -> Path:
    """The ELF that the project's own CMakeLists makes."""
    for command in (
        ["cmake", "-S", folder, "-B", out, "-G", "Ninja", f"-DTW_PYTHON={sys.executable}"],
        ["cmake", "--build", out, "-j", "2"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.elf"))


def symbols(elf: Path) -> dict[str, int]:
    with elf.open("rb") as file:
        return {s.name: s["st_value"] for s in ELFFile(file).get_section_by_name(".symtab").iter_symbols()}


@needs_cmake
def test_a_language_model_writes_the_hosts_text(story: Path, tmp_path: Path) -> None:
    done = simulate(built(story, tmp_path / "out"))
    assert done.ok, done.messages
    write(compile_file("tinystories", "host", Options(quant="int8")), tmp_path / "host")
    text = subprocess.run(storyteller("host", tmp_path / "host", STORY).command, capture_output=True, check=True).stdout
    assert len(text) > 100
    assert done.output.encode("latin-1").partition(b"\x1e")[0] == text


@needs_cmake
def test_a_network_runs_twice(tmp_path: Path) -> None:
    bias = np.arange(1, 11, dtype=np.float32) / 7
    write(compile_file(str(affine(tmp_path / "a.onnx", bias)), "siracusa", Options()), tmp_path / "c")
    done = simulate(built(tmp_path / "c", tmp_path / "out"))
    assert done.ok, done.messages
    wanted = checksum(np.tile(bias, 2).tobytes())
    assert done.output.count(f"output 0 checksum {wanted:08x}") == 2, done.output


def test_memories_are_where_the_plan_has_them(story: Path) -> None:
    found = symbols(build(story).executable)
    near = {"arena_l1", "logits", "blocks_0_k_cache", "blocks_7_v_cache"}
    assert {name for name in near if found[name] not in L1} == set()
    assert found["tw_cluster_main"] in L2
    assert found["tinystories_exp"] in WEIGHTS


def test_nothing_of_this_machine_is_in_the_project() -> None:
    compiled = compile_file("tinystories", "siracusa", Options())
    texts = files(compiled)
    assert texts == files(compiled)
    for name, text in texts.items():
        assert sys.executable not in text, name
        assert str(PROJECT.parent) not in text, name
        if name.endswith((".c", ".h")) and not name.startswith("kernels/") and "weights" not in name:
            assert max(map(len, text.splitlines())) <= 120, name
    for path in PROJECT.iterdir():
        assert "@" not in texts[path.name], path.name
        assert max(map(len, texts[path.name].splitlines())) <= 120 or path.name == "README.md"


def test_code_of_layers_lies_side_by_side_in_fewer_bytes_than_the_instruction_cache(story: Path) -> None:
    with build(story).executable.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        code = {s.name: (s["st_value"], s["st_size"]) for s in table.iter_symbols() if s["st_size"]}
    text = (story / "tinystories.c").read_text()
    decode = text[text.index("void tinystories_forward_decode(") :]
    loop = decode[decode.rindex("for (int i = 0; i < 8; i++)") : decode.rindex("/* out_norm */")]
    layers = {name for name in code if f" {name}(" in loop} | {"stream", "join"}
    begin = sum(code["tinystories_forward_decode"])
    assert len(layers) > 10
    assert all(begin <= code[name][0] for name in layers)
    assert max(sum(code[name]) for name in layers) - begin < 3400  # and the loop itself has less than 700
    assert code["tw_cluster_rmsnorm"][0] > max(code[name][0] for name in layers)  # prompts call it


def test_tokens_are_read_where_the_caller_has_them(story: Path) -> None:
    text = (story / "tinystories.c").read_text()
    assert "tw_cluster_embed(tokens" in text
    assert "tokens.v" not in text
