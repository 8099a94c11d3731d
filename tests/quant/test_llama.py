"""Quantised llamas: numpy graph, numpy program and C agree, integers to the bit; the loss is what it was measured."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.llamas import SHAPES, Shape, checkpoint, vocabulary
from tests.shared import FOLDER
from tilewright.api import compile_model
from tilewright.cgen.project import files, write
from tilewright.frontend.llama import graph as float_graph
from tilewright.frontend.llm import load_model
from tilewright.interp import graph as interpreter
from tilewright.interp.program import Machine
from tilewright.ir.graph import Graph
from tilewright.ir.types import Kind, Value, const
from tilewright.ir.verify import VerifyError, verify
from tilewright.lm.evaluate import evaluate, split_stories
from tilewright.lm.reference import Reference
from tilewright.lm.sampler import Sampler, Sampling, fixed_unit
from tilewright.lm.tokenizer import encode
from tilewright.model import Language, Model
from tilewright.options import Options
from tilewright.quant.calibrate import CalibrationText, observe, sequences
from tilewright.quant.check import check_integer, float_ops, narrow
from tilewright.quant.equalise import equalise
from tilewright.quant.lower import Recipe, language_model, quantised
from tilewright.targets.host.runner import HostRunner
from tilewright.targets.host.target import HOST

INTEGER, WEIGHT_ONLY = ("int8", "w4a8"), ("w8", "w4")
TEXT = CalibrationText.read()


def model(shape: Shape, kind: str, seed: int = 0) -> Model:
    return language_model(checkpoint(shape, seed), vocabulary(), shape.chunk, kind)


def tokens(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 264, count).astype(np.int32)


@pytest.fixture(scope="module", params=[(SHAPES[0], "int8"), (SHAPES[1], "w4a8"), (SHAPES[2], "int8")],
                ids=lambda p: f"dim{p[0].dim}-{p[1]}")  # fmt: skip
def integer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Shape, Model, Path]:
    shape, kind = request.param
    network = model(shape, kind)
    folder = tmp_path_factory.mktemp("quantised") / "c"
    write(compile_model(network, HOST, Options()), folder)
    return shape, network, folder


def numpy_logits(network: Model, some: np.ndarray) -> Iterator[np.ndarray]:
    state = interpreter.initial_state(network.entries[1])
    for pos in range(len(some)):
        inputs = {"tokens": some[pos : pos + 1]}
        yield interpreter.run(network.entries[1], inputs, state, {"pos": pos})["logits"][0]


def test_graph_program_and_c_agree_to_the_bit(integer: tuple[Shape, Model, Path]) -> None:
    shape, network, folder = integer
    compiled = compile_model(network, HOST, Options())
    machine, runner = Machine(compiled.programs, compiled.plan.capacity), HostRunner(folder)
    some = tokens(shape.context)
    for _ in range(2):
        machine.reset()
        runner.reset()
        for pos, want in enumerate(numpy_logits(network, some)):
            np.testing.assert_array_equal(runner.decode(int(some[pos])), want)
            (got,) = machine.run(compiled.programs[1], [some[pos : pos + 1]], {"pos": pos})
            np.testing.assert_array_equal(got, want)


def test_prefill_in_one_is_the_graph_of_many(integer: tuple[Shape, Model, Path]) -> None:
    shape, network, folder = integer
    some, runner = tokens(shape.context, 7), HostRunner(folder)
    state, at = interpreter.initial_state(network.entries[0]), 0
    runner.reset()
    while at < len(some):
        part = some[at : at + shape.chunk]
        env = {"pos": at, "n": len(part)}
        want = interpreter.run(network.entries[0], {"tokens": part}, state, env)["logits"]
        np.testing.assert_array_equal(runner.prefill(part.tolist()), want[0])
        at += len(part)


def test_c_writes_what_python_draws(integer: tuple[Shape, Model, Path]) -> None:
    """The integer sampler on integer logits: no step in which machines could differ."""
    shape, network, folder = integer
    language = network.language
    assert language is not None
    assert language.logit_scale is not None
    runner = HostRunner(folder)
    command = [str(runner.built.executable), "--prompt", "ab", "--ignore-eos", "--tokens", "12"]
    words = ["--temperature", "1.25", "--top-p", "0.9", "--seed", "5"]
    done = subprocess.run([*command, *words], capture_output=True, check=True)
    draw = Sampler(Sampling.fixed(*fixed_unit(language.logit_scale), 1250, 900, 5))
    sequence = encode(language.vocabulary, "ab")
    start = len(sequence)
    while len(sequence) < min(shape.context, start + 12):
        *_, logits = numpy_logits(network, np.array(sequence, np.int32))
        sequence.append(draw(logits))
    written = b"".join(language.vocabulary.pieces[t] for t in sequence[start:])
    assert done.stdout.removeprefix(b"ab").startswith(written)


def test_integer_models_have_no_float(integer: tuple[Shape, Model, Path]) -> None:
    _, network, _ = integer
    for entry in network.entries:
        assert float_ops(entry) == 0
        assert check_integer(verify(entry)) is entry
        products = [node for node in entry.nodes if "mul" in node.operands and "w" in node.operands]
        assert products
        assert all(narrow(node) for node in products)
    texts = files(compile_model(network, HOST, Options()))
    assert not [name for name in texts if "float" in name]
    for name, text in texts.items():
        if name.endswith((".c", ".h")) and name != "main.c" and not name.startswith("kernels/tw_"):
            words = set(re.findall(r"[A-Za-z_]+", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)))
            assert not words & {"float", "double"}, name


def test_float_graphs_are_no_integer_graphs() -> None:
    plain = float_graph(checkpoint(SHAPES[1]), 4)
    assert float_ops(plain) == len(plain.nodes)
    with pytest.raises(VerifyError, match="float"):
        check_integer(plain)


def mutated(graph: Graph, name: str) -> Graph:
    """The graph with one constant changed: weights and tables negated, what has no sign made an eighth less."""
    old = next(v for v in graph.constants if v.name == name)
    assert old.data is not None
    data = np.maximum(-old.data, old.type.dtype.low) if old.type.dtype.is_signed else old.data - old.data // 8
    if name.endswith(("score_mul", "mix_mul")):
        data = old.data // 2
    if name == "rope":  # turning q and k by another half circle each would change nothing
        data = np.roll(old.data, 1, axis=1)
    new = const(old.name, data, old.type.dtype)

    def swap(value: Value | None) -> Value | None:
        return new if value is old else value

    return replace(graph, nodes=tuple(replace(n, inputs=tuple(map(swap, n.inputs))) for n in graph.nodes))


def test_every_constant_matters(integer: tuple[Shape, Model, Path]) -> None:
    """Whichever constant of the first block is wrong, some logit tells: agreement to the bit says something."""
    shape, network, _ = integer
    some = tokens(min(shape.context, 17))
    plain = list(numpy_logits(network, some))
    names = {v.name for v in network.entries[1].constants if v.name.startswith("blocks.0.") or "." not in v.name}
    names -= {v.name for v in network.entries[1].constants if v.name.startswith("half")}  # roundings: half an LSB
    for name in names:
        wrong = Model("wrong", (network.entries[0], mutated(network.entries[1], name)))
        other = numpy_logits(wrong, some)
        assert any(not np.array_equal(a, b) for a, b in zip(plain, other, strict=True)), name


@pytest.mark.parametrize("kind", WEIGHT_ONLY)
def test_weight_only_c_equals_numpy(kind: str, tmp_path: Path) -> None:
    shape = SHAPES[0]
    network = model(shape, kind)
    assert {v.type.dtype.name for v in network.entries[1].values if v.kind is Kind.ACT} == {"f32"}
    write(compile_model(network, HOST, Options()), tmp_path / "c")
    runner, some = HostRunner(tmp_path / "c"), tokens(shape.context)
    runner.reset()
    for token, want in zip(some, numpy_logits(network, some), strict=True):
        got = runner.decode(int(token))
        assert (np.abs(got - want) <= 1e-4 + 1e-4 * np.abs(want)).all()


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: f"dim{s.dim}")
def test_equalising_leaves_the_function_alone(shape: Shape) -> None:
    made = checkpoint(shape)
    seen = observe(made, sequences(TEXT, vocabulary(), shape.context))
    other, expected = equalise(made, seen)
    some = tokens(shape.context)
    (a,), (b,) = Reference(made).forward([some]), Reference(other).forward([some])
    np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-3)
    again = observe(other, sequences(TEXT, vocabulary(), shape.context))
    for name, values in expected.items():
        np.testing.assert_allclose(values, again[name], rtol=1e-2, atol=1e-2, err_msg=name)


def test_integer_logits_are_near_the_real_ones() -> None:
    made = checkpoint(SHAPES[2])
    some = tokens(20)
    (real,) = Reference(made).forward([some])
    errors = []
    for recipe in (Recipe("int8", TEXT), Recipe("int8", TEXT, tied_rows=False), Recipe("w4a8", TEXT)):
        made_int = quantised(made, vocabulary(), recipe, SHAPES[2].context, all_logits=True)
        assert made_int.logit_scale is not None
        state = interpreter.initial_state(made_int.graph)
        got = interpreter.run(made_int.graph, {"tokens": some}, state, {"n": 20, "pos": 0})["logits"]
        errors.append(np.abs(got * made_int.logit_scale - real).std() / real.std())
    assert errors[0] < 0.08
    assert errors[1] < 0.08
    assert errors[0] < errors[2] < 0.5


def test_two_quantisations_give_the_same_bytes() -> None:
    first, second = (files(compile_model(model(SHAPES[1], "int8"), HOST, Options())) for _ in range(2))
    assert first == second
    assert TEXT.digest in first["plan.json"]


STORIES = FOLDER / "data" / "llm" / "stories260K.bin"
VALID = FOLDER / "data" / "text" / "tinystories_valid.txt"
needs_stories = pytest.mark.skipif(not VALID.exists(), reason="no stories260K here (TILEWRIGHT_SHARED)")


def loss(kind: str, folder: Path, limit: int) -> float:
    """Nats per token of the compiled C."""
    made, words = load_model(STORIES)
    network = Model("stories", (), Language(made, words, made.config.context, 16))
    if kind != "none":
        network = language_model(made, words, 16, kind)
        write(compile_model(network, HOST, Options()), folder)
    language = network.language
    assert language is not None
    scale = language.logit_scale or 1.0

    def logits_of(sequences: list[np.ndarray]) -> Iterator[np.ndarray]:
        runner = HostRunner(folder)
        for sequence in sequences:
            runner.reset()
            yield np.stack([runner.decode(int(token)) for token in sequence]) * scale

    stories = split_stories(VALID.read_text(), limit)
    return evaluate(
        stories, words, made.config.context, Reference(made) if kind == "none" else logits_of
    ).nats_per_token


LIMITS = {"w8": 0.002, "int8": 0.015, "w4": 0.06, "w4a8": 0.12}


@needs_stories
def test_loss_of_int8(tmp_path: Path) -> None:
    plain = loss("none", tmp_path / "none", 40_000)
    assert loss("int8", tmp_path / "c", 40_000) <= plain * (1 + LIMITS["int8"])


@pytest.mark.full
@needs_stories
@pytest.mark.parametrize("kind", LIMITS)
def test_losses_over_the_whole_split(kind: str, tmp_path: Path) -> None:
    assert loss(kind, tmp_path / "c", 1 << 30) <= 1.303 * (1 + LIMITS[kind])


@pytest.mark.full
@needs_stories
@pytest.mark.parametrize("kind", INTEGER)
def test_ten_thousand_tokens_to_the_bit(kind: str, tmp_path: Path) -> None:
    made, words = load_model(STORIES)
    network = language_model(made, words, 16, kind)
    whole = quantised(made, words, Recipe(kind, TEXT), made.config.context, all_logits=True).graph
    write(compile_model(network, HOST, Options()), tmp_path / "c")
    runner, count = HostRunner(tmp_path / "c"), 0
    for story in split_stories(VALID.read_text(), 60_000):
        some = np.array(encode(words, story)[: made.config.context], np.int32)
        state = interpreter.initial_state(whole)
        want = interpreter.run(whole, {"tokens": some}, state, {"n": len(some), "pos": 0})["logits"]
        runner.reset()
        np.testing.assert_array_equal(np.stack([runner.decode(int(t)) for t in some]), want)
        count += len(some)
        if count >= 10_000:
            break
    assert count >= 10_000
