"""Arrays from and to npz files: read without trust, matched to an interface, cast only where nothing is lost."""

from __future__ import annotations

import io
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from .errors import UserError
from .files import replace_with
from .ir.types import Array

MAX_BYTES = 1 << 31  # of all arrays in one file
MAX_UNPACKED, MAX_RATIO = 1 << 27, 100  # bytes, of a file that has next to nothing in it
MAX_ARRAYS = 4096
MAX_HEADER = 1 << 16
RTOL = ATOL = 1e-4  # floats agree where |got - expected| <= ATOL + RTOL |expected|


@dataclass(frozen=True)
class Port:
    """An input or output of a network: its name, shape and element type."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def read_npz(path: Path) -> dict[str, Array]:
    """All arrays of an npz file, in the file's order. Never unpickles; sizes are checked before memory is taken."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UserError(f"{path} is not a regular file", rule="arrays are read from files")
    try:
        with warnings.catch_warnings(), zipfile.ZipFile(path) as archive:
            warnings.simplefilter("ignore")
            return _arrays(archive, path)
    except FileNotFoundError:
        raise UserError(f"no such file: {path}") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, an npz file is wanted") from None
    except OSError as error:  # zipfile seeks to wherever a damaged directory says
        raise UserError(f"cannot read {path}: {error.strerror or error}", hint="write it with numpy.savez") from None
    except (
        zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, SyntaxError, TypeError,
        MemoryError, KeyError, OverflowError, tokenize.TokenError,
    ) as error:  # fmt: skip
        raise UserError(
            f"{path} is not a usable npz file: {str(error)[:200]}", hint="write it with numpy.savez"
        ) from None


def _arrays(archive: zipfile.ZipFile, path: Path) -> dict[str, Array]:
    entries = archive.infolist()
    total = sum(entry.file_size for entry in entries)
    if total > MAX_BYTES or len(entries) > MAX_ARRAYS:
        raise UserError(
            f"{path} holds {len(entries)} arrays of {total:,} bytes",
            rule=f"at most {MAX_ARRAYS} of {MAX_BYTES:,} bytes",
        )
    packed = sum(entry.compress_size for entry in entries)
    if total > MAX_UNPACKED and total > MAX_RATIO * packed:
        raise UserError(
            f"{path} unpacks {packed:,} bytes to {total:,}",
            rule=f"what is compressed more than {MAX_RATIO} times has at most {MAX_UNPACKED:,} bytes",
        )
    found: dict[str, Array] = {}
    for entry in entries:
        name = entry.filename.removesuffix(".npy")
        if name == entry.filename or name in found:
            raise UserError(
                f"{path}: entry {entry.filename!r} is no array of its own", hint="write it with numpy.savez"
            )
        with archive.open(entry) as file:
            found[name] = _array(file, entry.file_size, f"{path}: {name}")
    return found


def _array(file: IO[bytes], size: int, where: str) -> Array:
    """One npy: the header must promise exactly the bytes that are there."""
    start = io.BytesIO(file.read(min(size, MAX_HEADER)))
    version = np.lib.format.read_magic(start)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"npy version {version}")
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = reader(start)
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise UserError(
            f"{where} has elements of type {dtype}", rule="arrays hold numbers of at most 64 bit or booleans"
        )
    if any(d < 0 for d in shape) or len(shape) > 32:
        raise UserError(f"{where} has shape {shape}")
    count = 1
    for d in shape:
        count *= d
    begin = start.tell()
    if count * dtype.itemsize != size - begin:
        raise UserError(f"{where} promises {count * dtype.itemsize:,} bytes and holds {size - begin:,}")
    data = start.read() + file.read()
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), order="C")


def write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays so that the file appears complete or not at all."""
    replace_with(path, lambda file: np.savez(file, **dict(arrays)))  # type: ignore[arg-type]


def match(
    given: Mapping[str, Array], ports: Sequence[Port], what: str, source: object, *, surplus: bool = False
) -> list[Array]:
    """The arrays for the ports: by name, the rest in order. UserError where they do not pair up.

    With `surplus` there may be more arrays, for instance the network's constants, after the inputs or among them:
    those whose shapes do not fit the next port are passed over.
    """
    by_name = {p.name: given[p.name] for p in ports if p.name in given}
    rest = [(name, array) for name, array in given.items() if name not in by_name]
    open_ports = [p for p in ports if p.name not in by_name]
    if surplus and len(rest) > len(open_ports):
        rest = _fitting(rest, open_ports)
    if len(rest) != len(open_ports):
        raise UserError(
            f"{source} has {len(given)} arrays ({', '.join(given) or 'none'}), the network has {len(ports)} {what}s "
            f"({', '.join(p.name for p in ports) or 'none'})",
            rule="arrays match by name, the others in order",
        )
    by_order = {p.name: array for p, (_, array) in zip(open_ports, rest, strict=False)}
    return [shaped(by_name.get(p.name, by_order.get(p.name, np.empty(0))), p, what) for p in ports]


def _fitting(arrays: Sequence[tuple[str, Array]], ports: Sequence[Port]) -> list[tuple[str, Array]]:
    """The first arrays, in order, whose shapes are those of the ports, axes of one element aside."""
    chosen: list[tuple[str, Array]] = []
    for name, array in arrays:
        if len(chosen) == len(ports):
            break
        if [d for d in array.shape if d != 1] == [d for d in ports[len(chosen)].shape if d != 1]:
            chosen.append((name, array))
    return chosen


def shaped(array: Array, port: Port, what: str) -> Array:
    """The array in the port's shape; only axes of one element may come or go."""
    if tuple(d for d in array.shape if d != 1) != tuple(d for d in port.shape if d != 1):
        raise UserError(f"{what} {port.name} has shape {list(port.shape)}, the array given has {list(array.shape)}")
    return array.reshape(port.shape)


def cast(array: Array, port: Port) -> Array:
    """The array in the port's element type. UserError where a value does not fit."""
    if array.dtype == port.dtype:
        return array
    with np.errstate(all="ignore"):
        result = array.astype(port.dtype)
        if port.dtype.kind == "f":  # rounding is what a storage type does, an infinity from a number is not
            lost = np.isfinite(array) & ~np.isfinite(result)
            if array.dtype.kind in "iu":
                lost |= result.astype(np.float64).astype(object) != array.astype(object)
        elif array.dtype.kind == "f":
            lost = ~np.isfinite(array) | (result.astype(np.float64) != array)
        else:
            lost = (result.astype(array.dtype) != array) | ((result < 0) != (array < 0))
    if lost.any():
        at = tuple(int(i) for i in np.argwhere(lost)[0])
        raise UserError(
            f"input {port.name} is {port.dtype}: {array[at]} at {list(at)} does not fit",
            rule="every value must fit the type",
        )
    return result


@dataclass(frozen=True)
class Difference:
    """How an output differs from what was expected. `worst` is the greatest |got - expected|; `first` a flat index."""

    wrong: int
    worst: float
    first: int | None


def compare(got: Array, expected: Array) -> Difference:
    """Integers must be equal; floats within ATOL + RTOL |expected|, NaN like NaN, an infinity like itself."""
    if got.size == 0:
        return Difference(0, 0.0, None)
    if got.dtype.kind in "iub" and expected.dtype.kind in "iub":
        wrong = got != expected
        distance = np.abs(got.astype(np.float64) - expected.astype(np.float64))
    else:
        with np.errstate(invalid="ignore", over="ignore"):
            a, b = got.astype(np.float64), expected.astype(np.float64)
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            distance = np.where(same, 0.0, np.abs(a - b))
            bound = ATOL + RTOL * np.abs(b) if got.dtype.kind == "f" else np.zeros(b.shape)
            wrong = ~same & ~(np.isfinite(a) & np.isfinite(b) & (distance <= bound))
    first = int(np.flatnonzero(wrong)[0]) if wrong.any() else None
    finite = distance[~np.isnan(distance)]
    worst = float("inf") if np.isnan(distance).any() else float(finite.max(initial=0.0))
    return Difference(int(wrong.sum()), worst, first)
