"""Llamas as generated C on the host."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.llamas import SHAPES, Shape, model
from tilewright.api import compile_model
from tilewright.cgen.project import files, write
from tilewright.errors import UserError
from tilewright.interp import graph as graph_interpreter
from tilewright.options import Options
from tilewright.targets.host.runner import HostRunner
from tilewright.targets.host.target import HOST

ONE_AT_ONCE = replace(SHAPES[1], chunk=1)


@pytest.fixture(scope="module", params=(*SHAPES, ONE_AT_ONCE), ids=lambda s: f"dim{s.dim}_{s.chunk}")
def shape(request: pytest.FixtureRequest) -> Shape:
    return request.param


@pytest.fixture(scope="module")
def runner(shape: Shape, tmp_path_factory: pytest.TempPathFactory) -> HostRunner:
    folder = tmp_path_factory.mktemp("llama") / "c"
    write(compile_model(model(shape), HOST, Options()), folder)
    return HostRunner(folder)


def tokens(count: int) -> list[int]:
    return np.random.default_rng(1).integers(0, 264, count).tolist()


def close(a: np.ndarray, b: np.ndarray) -> None:
    assert (np.abs(a - b) <= 1e-4 + 1e-4 * np.abs(b)).all(), np.abs(a - b).max()


def decoded(runner: HostRunner, some: list[int]) -> list[np.ndarray]:
    runner.reset()
    return [runner.decode(token) for token in some]


def test_c_equals_numpy(shape: Shape, runner: HostRunner) -> None:
    network = model(shape)
    state = graph_interpreter.initial_state(network.entries[0])
    some = tokens(shape.context)
    for pos, logits in enumerate(decoded(runner, some)):
        inputs = {"tokens": np.array(some[pos : pos + 1])}
        close(logits, graph_interpreter.run(network.entries[1], inputs, state, {"pos": pos})["logits"][0])


def test_prefill_equals_decodes_for_every_length(shape: Shape, runner: HostRunner) -> None:
    some = tokens(shape.context)
    one_by_one = decoded(runner, some)
    for n in range(1, shape.context + 1):
        runner.reset()
        close(runner.prefill(some[:n]), one_by_one[n - 1])
        if n < shape.context:
            close(runner.decode(some[n]), one_by_one[n])


def test_reset_really_resets(shape: Shape, runner: HostRunner) -> None:
    some = tokens(shape.context)
    first = decoded(runner, some)
    for a, b in zip(first, decoded(runner, some), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_does_not_fit_changes_nothing(shape: Shape, runner: HostRunner) -> None:
    some = tokens(shape.context)
    expected = decoded(runner, some)
    runner.reset()
    runner.prefill(some[:2])
    for bad in ([], [*some[2:], 1], [264], [-1]):
        with pytest.raises(UserError):
            runner.prefill(bad)
    close(runner.prefill(some[2:]), expected[-1])
    with pytest.raises(UserError):
        runner.decode(1)


def story(runner: HostRunner, prompt: str, seed: int, *more: str) -> subprocess.CompletedProcess[str]:
    command = [str(runner.built.executable), "--prompt", prompt, "--seed", str(seed), "--temperature", "1.5", *more]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)


@pytest.mark.parametrize("prompt", ["", "ab", "\xff\u20ac"])
def test_stories_are_the_same_in_one_process_and_in_two(runner: HostRunner, prompt: str) -> None:
    first, second = story(runner, prompt, 3), story(runner, prompt, 3)
    assert (first.returncode, first.stdout) == (second.returncode, second.stdout)
    assert first.returncode == 0
    assert first.stdout.startswith(prompt)
    assert story(runner, prompt, 4).stdout != first.stdout


def test_a_story_ends_where_the_context_is_full(shape: Shape, runner: HostRunner) -> None:
    done = story(runner, "ab", 1, "--tokens", "1000", "--ignore-eos")
    assert f"positions {shape.context} " in done.stderr


def test_a_prompt_longer_than_the_context_is_refused(shape: Shape, runner: HostRunner) -> None:
    exact = story(runner, "a" * (shape.context - 1), 1)
    assert exact.returncode == 0
    assert "tokens 1 " in exact.stderr or "tokens 0 " in exact.stderr
    for length in (shape.context, 100_000):
        longer = story(runner, "a" * length, 1)
        assert longer.returncode == 2
        assert "does not fit" in longer.stderr


def test_two_compilations_give_the_same_bytes(shape: Shape) -> None:
    first, second = (files(compile_model(model(shape), HOST, Options())) for _ in range(2))
    assert first == second


def test_ram_is_exact(shape: Shape, runner: HostRunner) -> None:
    sizes = runner.built.sizes
    assert sizes is not None
    assert sizes.variables == compile_model(model(shape), HOST, Options()).ram_bytes


STACK_PROBE = """
#define _XOPEN_SOURCE 700
#include "toy_lm.h"
#include <stdio.h>
#include <string.h>
#include <ucontext.h>
static unsigned char stack[1 << 18];
static ucontext_t back, there;
static void ignore(const uint8_t *bytes, uint32_t length, void *context) { (void)bytes; (void)length; (void)context; }
static void probe(void)
{
    toy_options options = {40, 0.8, 0.9, 1, 1};
    toy_generate("abc", &options, ignore, 0);
}
int main(void)
{
    memset(stack, 0x5a, sizeof stack);
    getcontext(&there);
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = sizeof stack;
    there.uc_link = &back;
    makecontext(&there, probe, 0);
    swapcontext(&back, &there);
    size_t untouched = 0;
    while (stack[untouched] == 0x5a)
        untouched++;
    printf("%zu\\n", sizeof stack - untouched);
    return 0;
}
"""


def test_the_stack_bound_holds_and_is_tight(runner: HostRunner, tmp_path: Path) -> None:
    from tilewright.targets.host.toolchain import compile_objects, link

    sizes = runner.built.sizes
    assert sizes is not None
    assert set(sizes.unknown) <= {"memcpy", "memset", "strlen"}
    (tmp_path / "probe.c").write_text(STACK_PROBE)
    objects = compile_objects([tmp_path / "probe.c"], [runner.built.folder], tmp_path)
    network = [p for p in (runner.built.folder / "build").glob("*.o") if p.stem != "main"]
    program = link([*objects, *network], tmp_path / "probe", shared=False)
    used = int(subprocess.run([program], capture_output=True, text=True, check=True).stdout)
    own = 512  # frames of the probe and of the C library's leaves
    assert used <= sizes.stack + own
    assert sizes.stack <= used + own


STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2", "-ffp-contract=off")


def strict_build(compiler: str, folder: Path, out: Path, *more: str) -> None:
    sources = [str(p) for p in folder.rglob("*.c")]
    includes = [f"-I{folder / name}" for name in (".", "kernels", "lm")]
    done = subprocess.run(
        [compiler, *STRICT, *more, *includes, *sources, "-o", str(out)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_c_is_strict_and_clean_under_sanitizers(compiler: str, runner: HostRunner, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    folder = runner.built.folder
    strict_build(compiler, folder, tmp_path / "plain")
    checks = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    strict_build(compiler, folder, tmp_path / "checked", *checks)
    for name in ("plain", "checked"):
        command = [tmp_path / name, "--prompt", "ab", "--tokens", "1000", "--temperature", "0.8", "--ignore-eos"]
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        expected = subprocess.run([runner.built.executable, *command[1:]], capture_output=True, check=True)
        assert done.stdout == expected.stdout
