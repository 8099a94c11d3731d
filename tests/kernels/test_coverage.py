"""The host runs every operator, and refuses in the user's words what it does not run."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.instances import node_of
from tilewright.errors import UserError
from tilewright.ir.op import REGISTRY, Op
from tilewright.ir.types import DTYPES, F16, F32, Sym, TensorType
from tilewright.ops import Binary, Softmax, Transpose
from tilewright.targets.host.target import HOST

OPERATORS = [op for op in REGISTRY.values() if not op.view]


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_instance_has_a_kernel(op: type[Op], data: st.DataObject) -> None:
    instance, types = op.examples(data.draw)
    node = node_of(instance, *types)
    whys = [(kernel.symbol, kernel.misfit(node)) for kernel in HOST.kernels if kernel.op is op]
    assert any(why is None for _, why in whys), whys


def test_types_without_a_kernel_are_refused_by_name() -> None:
    kind = TensorType((3,), F16)
    with pytest.raises(UserError, match="a must be f32, it is f16"):
        HOST.candidates(node_of(Binary("add"), kind, kind))


def test_run_time_dimensions_are_refused_where_tables_need_numbers() -> None:
    with pytest.raises(UserError, match="All dimensions are known at compile time"):
        HOST.candidates(node_of(Softmax(-1), TensorType((Sym("t", 9, 4), 5), F32)))


def test_too_many_axes_are_refused() -> None:
    shape = (2, 3) * 5
    axes = tuple(reversed(range(len(shape))))
    with pytest.raises(UserError, match="No more than 8 axes"):
        HOST.candidates(node_of(Transpose(axes), TensorType(shape, F32)))


def test_data_moves_whatever_its_type() -> None:
    for dtype in DTYPES.values():
        if dtype.bits >= 8:
            assert HOST.candidates(node_of(Transpose((1, 0)), TensorType((2, 3), dtype)))


def test_every_rule_has_a_message() -> None:
    for kernel in HOST.kernels:
        for rule in kernel.requires:
            assert (rule.__doc__ or "").strip(), f"{kernel.symbol}: {rule.__name__}"
