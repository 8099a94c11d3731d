"""The C tokenizer and sampler through ctypes; vocabularies are read back from the emitted C, which is so tested too."""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

import tilewright.lm
from tilewright.lm.emit import vocabulary_c
from tilewright.lm.vocabulary import Vocabulary

C_FOLDER = Path(tilewright.lm.__file__).parent / "c"
ZIG = [sys.executable, "-m", "ziglang", "cc"]
FLAGS = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic", f"-I{C_FOLDER}"]
SOURCES = [str(C_FOLDER / f"{name}.c") for name in ("tokenizer", "sampler", "sampler_float")]

u8, u16, u32, i32 = ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_int32
GUARD = 0xA5A5


def build(output: Path, *extra: str) -> Path:
    """A shared library of the C files, and of `extra` sources."""
    subprocess.run([*ZIG, *FLAGS, "-shared", "-fPIC", *SOURCES, *extra, "-o", str(output)], check=True)
    return output


class CVocabulary(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_void_p) for name in ["text", "offsets", "symbols", "symbol_tokens", "byte_tokens"]],
        *[(name, ctypes.c_void_p) for name in ["pairs", "mergers", "words", "classes"]],
        *[(name, u32) for name in ["tokens", "symbol_count", "class_bytes"]],
        *[(name, u32) for name in ["pair_slots", "pair_shift", "word_slots", "word_shift"]],
        *[(name, i32) for name in ["bos", "eos", "unk"]],
        *[(name, u8) for name in ["split", "prefix", "strip"]],
    ]


class CSampler(ctypes.Structure):
    _fields_ = [(name, u32) for name in ["multiplier", "shift", "top_p", "state"]]


class Tables:
    """The tables of an emitted vocabulary in memory."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        source = vocabulary_c(vocabulary, "model_vocabulary")
        assert max(map(len, source.splitlines())) <= 120
        self.arrays: dict[str, npt.NDArray[np.generic]] = {}
        for kind, name, body in re.findall(r"static const (\w+)_t (\w+)\[\] = \{(.*?)\};", source, re.DOTALL):
            values = [int(word.rstrip("u")) for word in re.findall(r"-?\d+u?", body)]
            self.arrays[name] = np.array(values, kind)
        numbers = {name: int(value) for name, value in re.findall(r"\.(\w+) = (-?\d+),", source)}
        self.c = CVocabulary(**{name: array.ctypes.data for name, array in self.arrays.items()}, **numbers)


class LanguageLibrary:
    """The C functions with Python's types."""

    def __init__(self, path: Path) -> None:
        self.c = ctypes.CDLL(str(path))
        self.c.tw_decode.restype = ctypes.c_void_p

    def encode(self, tables: Tables, text: bytes, capacity: int, bos: bool = True) -> list[int] | int:
        """Tokens, or the error. Memory behind the buffers must stay as it is."""
        data = np.frombuffer(text + b"x", np.uint8)
        tokens, work = np.full(capacity + 8, GUARD, np.uint16), np.full(capacity + 8, GUARD, np.uint32)
        count = self.c.tw_encode(
            ctypes.byref(tables.c), ptr(data), u32(len(text)), int(bos), ptr(tokens), ptr(work), u32(capacity)
        )
        assert (tokens[capacity:] == GUARD).all()
        assert (work[capacity:] == GUARD).all()
        return [int(token) for token in tokens[:count]] if count >= 0 else int(count)

    def decode(self, tables: Tables, previous: int, token: int) -> bytes:
        length = u32()
        at = self.c.tw_decode(ctypes.byref(tables.c), i32(previous), i32(token), ctypes.byref(length))
        return ctypes.string_at(at, length.value)

    def sample(self, sampler: CSampler, logits: npt.NDArray[np.int32]) -> int:
        bins = np.zeros(max(len(logits), 1), np.uint8)
        return int(self.c.tw_sample(ctypes.byref(sampler), ptr(logits), u32(len(logits)), ptr(bins)))

    def settings(self, scale: float, temperature: float, top_p: float, seed: int) -> CSampler:
        sampler = CSampler()
        real = (ctypes.c_double(value) for value in (scale, temperature, top_p))
        self.c.tw_sampler_set(ctypes.byref(sampler), *real, u32(seed))
        return sampler

    def fixed(self, unit: int, exponent: int, temperature: int, top_p: int, seed: int) -> CSampler:
        sampler = CSampler()
        self.c.tw_sampler_fixed(
            ctypes.byref(sampler), ctypes.c_uint64(unit), i32(exponent), u32(temperature), u32(top_p), u32(seed)
        )
        return sampler

    def logits_to_int(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
        out = np.zeros(len(logits), np.int32)
        self.c.tw_logits_to_int(ptr(logits), ptr(out), u32(len(logits)))
        return out


def ptr(array: npt.NDArray[np.generic]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
