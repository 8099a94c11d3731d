"""One row is computed where one is read."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.frontend.llama import graph as llama
from tilewright.interp.graph import run
from tilewright.ir.graph import Builder, Graph
from tilewright.ir.types import F32, Dim, Expr, Sym, TensorType, Value, const, maximum
from tilewright.ir.verify import verify
from tilewright.ops import Add, Append, Attention, Binary, Linear, MatMul, RMSNorm, RoPE, Row, SwiGLU
from tilewright.ops.rope import rope_table
from tilewright.options import Options
from tilewright.passes.rows import rows_read
from tilewright.targets.registry import find

from ..llamas import SHAPES, Shape, checkpoint

WIDTH, POSITIONS, MOST, SEEDS = 8, 24, 7, range(150)
HOST = find("host", Options())


def random_network(seed: int) -> Graph:
    """Operators that work row by row, and some that do not; rows, of a run-time number or not, are picked anywhere."""
    rng, b = np.random.default_rng(seed), Builder("run")
    n: Dim = Sym("n", MOST, 5) if rng.integers(2) else MOST
    pos = Sym("pos", POSITIONS - MOST, 4)
    table = const("angles", np.asarray(rope_table(POSITIONS, WIDTH // 2, 1e4)))
    cache = b.state("cache", TensorType((POSITIONS, WIDTH // 2), F32))
    values: list[Value] = [b.input("x", TensorType((n, WIDTH), F32))]

    def constant(*shape: int) -> Value:
        return const(b.unique("c"), rng.standard_normal(shape).astype(np.float32) / 4)

    def pick() -> Value:
        return values[-1 - int(rng.integers(0, len(values), 2).min())]

    for _ in range(int(rng.integers(3, 14))):
        x, z = pick(), pick()
        several, alike = x.type.shape[0] == n, x.type == z.type
        match rng.choice(["add", "norm", "linear", "gated", "turn", "attend", "mix", "row", "scale"]):
            case "add" if alike:
                y = b(Add(), x, z)
            case "gated" if alike:
                y = b(SwiGLU(), x, z)
            case "norm":
                y = b(RMSNorm(1e-5), x, constant(WIDTH))
            case "scale" if isinstance(n, int):  # a row for all, a row for one
                y = b(Binary("mul"), x, constant(1, WIDTH) if rng.integers(2) else z)
            case "turn" if several:
                y = b(RoPE(2, pos), x, table)
            case "attend" if several:
                y = b(Attention(2, 1, 0.5, pos), x, cache, cache)
            case "mix" if several and alike and isinstance(n, int):  # each row of all rows, of the same value even
                y = b(MatMul(), b(MatMul(transpose_b=True), x, z), z)
            case "row" if several:
                y = b(Row((Expr.of(n) - 1).simplified() if rng.integers(2) else 0), x)
            case _:
                y = b(Linear(), x, constant(WIDTH, WIDTH))
        values.append(y)
    last = values[-1] if values[-1].type.shape[0] == 1 else b(Row((Expr.of(n) - 1).simplified()), values[-1])
    other = values[int(rng.integers(1, len(values)))]
    outputs = (last, other) if rng.integers(3) == 0 and other is not last else (last,)
    return b.finish(outputs, tuple(s for s in (n, pos) if isinstance(s, Sym)))


@pytest.mark.parametrize("seed", SEEDS)
def test_results_stay(seed: int) -> None:
    graph, rng = random_network(seed), np.random.default_rng(seed)
    fewer = verify(rows_read(graph, HOST))
    assert [v.name for v in fewer.outputs] == [v.name for v in graph.outputs]
    cache = rng.standard_normal((POSITIONS, WIDTH // 2)).astype(np.float32)
    for rows, pos in ((1, 0), (4, 3), (MOST, 11)) if "n" in {s.name for s in graph.syms} else ((MOST, 5),):
        x, env = rng.standard_normal((rows, WIDTH)).astype(np.float32), {"n": rows, "pos": pos}
        got, want = (run(g, {"x": x}, {"cache": cache.copy()}, env) for g in (fewer, graph))
        for name in want:
            np.testing.assert_allclose(got[name], want[name], rtol=1e-4, atol=1e-4)


def test_most_networks_are_changed() -> None:
    """So that the test above is one."""
    assert sum(rows_read(g, HOST) is not g for g in map(random_network, SEEDS)) > len(SEEDS) // 2


@pytest.mark.parametrize("shape", SHAPES)
def test_of_the_last_layer_one_row_is_computed(shape: Shape) -> None:
    """All but the norm, keys and values."""
    graph = llama(checkpoint(shape), shape.chunk)
    fewer = rows_read(graph, HOST)
    several = {n.name for n in fewer.nodes if not n.op.aliases and maximum(n.outputs[0].type.shape[0]) > 1}
    last = f"blocks.{shape.layers - 1}."
    assert {name for name in several if name.startswith(last)} == {last + n for n in ("attn_in", "k", "k_turned", "v")}
    assert sum(isinstance(n.op, Append) for n in fewer.nodes) == 2 * shape.layers


def test_what_is_read_as_a_whole_stays() -> None:
    graph = llama(checkpoint(SHAPES[0]), 8, all_logits=True)
    decode = llama(checkpoint(SHAPES[0]), 8).specialise("decode", {"n": 1})
    assert rows_read(graph, HOST) is graph
    assert rows_read(decode, HOST) is decode
