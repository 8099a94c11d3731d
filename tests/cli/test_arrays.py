"""npz files: what is read without trust, matched, cast, compared."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tilewright import arrays
from tilewright.arrays import ATOL, RTOL, Port, cast, compare, match, read_npz, write_npz
from tilewright.errors import UserError

NUMBERS = st.sampled_from(
    ["bool", "int8", "uint8", "int16", "int32", "int64", "uint64", "float16", "float32", "float64"]
)
ARRAYS = NUMBERS.flatmap(lambda t: hnp.arrays(t, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("npz") / "a.npz"


@settings(max_examples=30)
@given(st.dictionaries(st.from_regex(r"[a-z/.]{1,8}", fullmatch=True), ARRAYS, max_size=3))
def test_what_numpy_writes_is_read(file: Path, arrays: dict[str, np.ndarray]) -> None:
    write_npz(file, arrays)
    found = read_npz(file)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_order_of_elements_and_bytes_is_normalised(file: Path) -> None:
    array = np.arange(6, dtype=">i4").reshape(2, 3)
    np.savez(file, a=np.asfortranarray(array))
    found = read_npz(file)["a"]
    assert found.dtype == np.dtype("int32")
    np.testing.assert_array_equal(found, array)


@settings(max_examples=150)
@given(st.data())
def test_mutated_files_are_read_or_refused(file: Path, data: st.DataObject) -> None:
    save = data.draw(st.sampled_from([np.savez, np.savez_compressed]))
    buffer = io.BytesIO()
    save(buffer, a=np.arange(10, dtype=np.int16), b=np.ones((2, 2), np.float32))
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["set", "cut", "insert"])):
            case "set":
                content[at] = data.draw(st.integers(0, 255))
            case "cut":
                del content[at:]
            case _:
                content[at:at] = data.draw(st.binary(min_size=1, max_size=8))
        content = content or bytearray(b"x")
    file.write_bytes(content)
    with contextlib.suppress(UserError):
        read_npz(file)


def npy(header: str, body: bytes = b"") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


HOSTILE = {
    "pickle": npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"cos\nsystem\n(S'false'\ntR."),
    "huge": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}", b"12345678"),
    "overflow": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296)}"),
    "negative": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1)}", b"12345678"),
    "text": npy("{'descr': '<U2', 'fortran_order': False, 'shape': (1,)}", b"12345678"),
    "record": npy("{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (1,)}", b"1234"),
    "code": npy("{'descr': __import__('os').getcwd(), 'fortran_order': False, 'shape': (1,)}", b"1234"),
    "deep": npy("(" * 100),
    "no array": b"hello",
    "empty": b"",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_arrays(tmp_path: Path, kind: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", HOSTILE[kind])
    with pytest.raises(UserError, match=r"a\.npz"):
        read_npz(tmp_path / "a.npz")


def packed(path: Path, names: list[str], content: bytes) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")
        for name in names:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("names", [["a.npy", "a.npy"], ["a.txt"], [f"{i}.npy" for i in range(5000)]])
def test_hostile_archives(tmp_path: Path, names: list[str]) -> None:
    good = npy("{'descr': '<i4', 'fortran_order': False, 'shape': ()}", b"1234")
    with pytest.raises(UserError):
        read_npz(packed(tmp_path / "a.npz", names, good))


def test_an_archive_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1048576,)}", bytes(1 << 20))
    file = packed(tmp_path / "a.npz", ["a.npy", "b.npy"], bomb)
    assert file.stat().st_size < 10_000
    monkeypatch.setattr(arrays, "MAX_BYTES", 2 * len(bomb))
    assert len(read_npz(file)) == 2
    monkeypatch.setattr(arrays, "MAX_BYTES", 2 * len(bomb) - 1)
    with pytest.raises(UserError, match="at most"):
        read_npz(file)


def port(name: str, *shape: int, dtype: str = "float32") -> Port:
    return Port(name, shape, np.dtype(dtype))


def test_an_archive_with_next_to_nothing_in_it(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros((1 << 25) + 1, np.float32))
    with pytest.raises(UserError, match="unpacks"):
        read_npz(tmp_path / "a.npz")


def test_a_pipe_is_no_archive(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npz")
    with pytest.raises(UserError, match="not a regular file"):
        read_npz(tmp_path / "a.npz")


def test_matching_by_name_then_by_order() -> None:
    x, y, z = (np.full(2, i, np.float32) for i in range(3))
    ports = [port("x", 2), port("y", 2), port("z", 2)]

    def matched(**given: np.ndarray) -> list[float]:
        return [float(a[0]) for a in match(given, ports, "input", "I.npz")]

    assert matched(z=z, y=y, x=x) == [0, 1, 2]
    assert matched(arr_0=x, arr_1=y, arr_2=z) == [0, 1, 2]
    assert matched(arr_0=x, y=y, arr_2=z) == [0, 1, 2]
    assert matched(y=y, arr_0=x, arr_2=z) == [0, 1, 2]
    for bad in ({"x": x}, {"x": x, "y": y, "z": z, "w": z}):
        with pytest.raises(UserError, match=r"I\.npz has"):
            match(bad, ports, "input", "I.npz")


def test_constants_may_follow_the_inputs() -> None:
    x, y, more = (np.full(2, i, np.float32) for i in range(3))
    ports = [port("x", 2), port("y", 2)]
    for arrays_given in (
        {"arr_0": x, "arr_1": y, "arr_2": more},
        {"more": more, "x": x, "y": y},
        {"y": y, "a": x, "b": more},
    ):
        assert [float(a[0]) for a in match(arrays_given, ports, "input", "", surplus=True)] == [0, 1]
        with pytest.raises(UserError):
            match(arrays_given, ports, "input", "")
    with pytest.raises(UserError):
        match({"x": x}, ports, "input", "", surplus=True)


def test_only_axes_of_one_may_differ() -> None:
    array = np.zeros((3, 4), np.float32)
    assert match({"x": array}, [port("x", 1, 3, 4)], "input", "")[0].shape == (1, 3, 4)
    with pytest.raises(UserError, match="shape"):
        match({"x": array}, [port("x", 4, 3)], "input", "")


@given(st.integers(-(2**40), 2**40), st.sampled_from(["int64", "float64"]), st.sampled_from(["int8", "uint8", "int32"]))
def test_integers_are_cast_exactly_where_they_fit(value: int, held: str, wanted: str) -> None:
    limits = np.iinfo(wanted)
    array = np.array([0, value], held)
    if limits.min <= value <= limits.max:
        assert cast(array, port("x", 2, dtype=wanted)).tolist() == [0, value]
    else:
        with pytest.raises(UserError, match=r"\[1\]"):
            cast(array, port("x", 2, dtype=wanted))


@pytest.mark.parametrize(
    ("value", "held", "wanted", "fits"),
    [
        (0.5, "float64", "int8", False), (np.nan, "float64", "int8", False), (np.inf, "float32", "int32", False),
        (-0.0, "float32", "int8", True), (0.1, "float64", "float32", True), (1e39, "float64", "float32", False),
        (np.inf, "float64", "float32", True), (np.nan, "float64", "float32", True),
        (2**24 + 1, "int64", "float32", False), (2**24, "int64", "float32", True), (2**63, "uint64", "int64", False),
        (-1, "int64", "uint64", False),
        (2**53 + 1, "int64", "float64", False), (True, "bool", "float32", True), (2**62, "int64", "float32", True),
    ],
)  # fmt: skip
def test_casts_at_the_limits(value: float, held: str, wanted: str, fits: bool) -> None:
    array = np.array([value], held)
    if fits:
        np.testing.assert_array_equal(cast(array, port("x", 1, dtype=wanted)), array.astype(wanted))
    else:
        with pytest.raises(UserError, match="does not fit"):
            cast(array, port("x", 1, dtype=wanted))


@given(hnp.arrays("int32", (7,)), st.integers(0, 6), st.integers(1, 2**31 - 1))
def test_any_wrong_integer_is_found(expected: np.ndarray, at: int, by: int) -> None:
    got = expected.copy()
    got[at] = np.int32((int(got[at]) + by + 2**31) % 2**32 - 2**31)
    found = compare(got, expected.astype(np.int64))
    assert (found.wrong, found.first) == (1, at)
    assert found.worst == abs(int(got[at]) - int(expected[at]))
    assert compare(expected, expected.astype(np.float64)).wrong == 0


@given(st.floats(-1e6, 1e6, width=32), st.floats(0.0, 3.0))
def test_floats_agree_within_the_tolerance(reference: float, factor: float) -> None:
    distance = factor * (ATOL + RTOL * abs(reference))
    found = compare(np.array([reference + distance]).astype("f8"), np.array([reference]))
    if abs(factor - 1) > 1e-6:
        assert found.wrong == (factor > 1)
    assert found.worst == pytest.approx(distance, rel=1e-3, abs=1e-9)


@pytest.mark.parametrize(
    ("got", "expected", "wrong"),
    [
        (np.nan, np.nan, 0), (np.nan, 0.0, 1), (0.0, np.nan, 1), (np.inf, np.inf, 0), (np.inf, -np.inf, 1),
        (np.inf, 3e38, 1), (3e38, np.inf, 1), (0.0, -0.0, 0),
    ],
)  # fmt: skip
def test_numbers_that_are_none(got: float, expected: float, wrong: int) -> None:
    assert compare(np.array([got], "f4"), np.array([expected], "f8")).wrong == wrong


def test_an_integer_output_is_not_forgiven_by_a_float_expectation() -> None:
    assert compare(np.array([100000], "i4"), np.array([100001.0])).wrong == 1
