"""Jobs of N-EUREKA: what its registers say, how long a job takes, and which jobs it gets wrong."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from ..base import Argument, Described
from .neureka_weights import ALL_BYTES, POINT_INPUTS, TAP_INPUTS, WORD, Levels
from .share import up

TILE = 6  # pixels of results along each side that the engine holds at once
OUTPUTS = 32  # channels of results that it holds
WEIGHT_MEMORY = 0x10400000  # the address that those of weights count from
REGISTERS = 0x10201020  # the address of a job's registers, of which the first are addresses
LENGTH, PLACES, ADDRESSES = 24, 6, ((0, "w"), (1, "x"), (2, "y"), (3, "mul"), (5, "add"))
IN_PIXEL, IN_LINE, OUT_GROUP, OUT_PIXEL, OUT_LINE, WORD_STEP, OUTPUT_STEP = 6, 7, 9, 10, 11, 12, 13
LAST_CHANNELS, LAST_RESULTS, LAST_INPUTS, CHANNEL_TILES, PIXEL_TILES = 15, 16, 17, 18, 19
PADDING, LOW, MASK, CONF = 20, 21, 22, 23
MODE16, QUANTISE, LINEAR, STRIDED, FAR_WEIGHTS, PREFETCH, STREAM_IN = (
    1 << 3,
    1 << 4,
    1 << 7,
    1 << 8,
    1 << 9,
    1 << 10,
    1 << 14,
)
IDENTITY, BIAS, SIGNED = 1 << 23, 1 << 25, 1 << 26
MODE, SCALE, SHIFT, RESULT = 5, 12, 16, 21  # first bits of fields


class Mode(IntEnum):
    """What a job computes; the numbers are the engine's."""

    TAPS = 0  # 3x3
    DEPTHWISE = 1  # 3x3, each channel by itself
    POINT = 2  # 1x1

    @property
    def reach(self) -> int:
        """Pixels that a window has more than one, along each side."""
        return 0 if self is Mode.POINT else 2


@dataclass(frozen=True)
class Job:
    """One job. Sizes are of the results in pixels and channels; strides and offsets in bytes.

    `pad` is top, left, bottom, right. `scale`: bits of a multiplier, 0 where sums are stored as they are. `result`:
    bits of a result. The `_at` are added to the addresses of a call.
    """

    mode: Mode
    inputs: int
    outputs: int
    rows: int
    columns: int
    in_strides: tuple[int, int]  # of a pixel, of a line
    out_strides: tuple[int, int]
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    levels: Levels = ALL_BYTES
    signed: bool = True
    result: int = 8
    result_signed: bool = True
    scale: int = 8
    shift: int = 0
    x_at: int = 0
    w_at: int = 0
    mul_at: int = 0
    add_at: int = 0
    y_at: int = 0

    @property
    def tile_inputs(self) -> int:
        return POINT_INPUTS if self.mode is Mode.POINT else TAP_INPUTS

    @property
    def tile_outputs(self) -> int:
        return TAP_INPUTS if self.mode is Mode.DEPTHWISE else OUTPUTS

    @property
    def last_inputs(self) -> tuple[int, int]:
        """Rows and columns of inputs that the last tile reads."""
        _, _, bottom, right = self.pad
        reach = self.mode.reach
        return rest(self.rows, TILE) + reach - bottom, rest(self.columns, TILE) + reach - right

    @property
    def prefetches(self) -> bool:
        """Whether inputs are loaded while weights are read; of depthwise jobs, the time is not known well then."""
        return self.mode is not Mode.DEPTHWISE

    def registers(self) -> list[int]:
        """The 24 registers, addresses 0. ValueError for what the engine gets wrong."""
        top, left, bottom, right = self.pad
        tiles = up(self.inputs, self.tile_inputs)
        bits = 1 if self.mode is Mode.POINT else self.levels.bits
        found = [0] * 24
        found[IN_PIXEL], found[IN_LINE] = self.in_strides
        found[OUT_GROUP], found[OUT_PIXEL], found[OUT_LINE] = WORD, *self.out_strides
        found[WORD_STEP], found[OUTPUT_STEP] = WORD, 0 if self.mode is Mode.DEPTHWISE else WORD * bits * tiles
        found[LAST_CHANNELS] = pair(rest(self.outputs, self.tile_outputs), rest(self.inputs, self.tile_inputs))
        found[LAST_RESULTS] = pair(rest(self.rows, TILE), rest(self.columns, TILE))
        found[LAST_INPUTS] = pair(*self.last_inputs)
        found[CHANNEL_TILES] = pair(up(self.outputs, self.tile_outputs), tiles)
        found[PIXEL_TILES] = pair(up(self.rows, TILE), up(self.columns, TILE))
        found[PADDING] = top << 28 | right << 24 | bottom << 20 | left << 16
        found[LOW], found[CONF] = self.levels.low, self._conf()
        if (why := wrong(found)) is not None:
            raise ValueError(f"N-EUREKA does not compute {self}: {why}")
        return found

    def _conf(self) -> int:
        conf = self.levels.bits - 1 | self.mode << MODE | FAR_WEIGHTS | PREFETCH * self.prefetches
        conf |= SIGNED * self.signed | (self.result >> 4) << RESULT
        conf |= IDENTITY * (self.result_signed or self.scale == 0)
        if self.scale:
            conf |= QUANTISE | BIAS | (self.scale >> 4) << SCALE | self.shift << SHIFT
        return conf

    def cycles(self) -> int:
        """Cycles from its start to its end, where nobody else is at the banks of L1."""
        total = 2
        pending = 0  # cycles of weights that the next inputs may be loaded beside
        output_tiles, pixel_tiles = tiles_of(self.outputs, self.tile_outputs), self._pixel_tiles()
        for o, outputs in enumerate(output_tiles):
            for p, (rows, columns, loaded) in enumerate(pixel_tiles):
                spent, pending = self._sums(outputs, loaded, pending, p == len(pixel_tiles) - 1)
                total += spent + 3 * (self.mode is Mode.POINT)
                total += ((rows - 1) * TILE + columns) * (up(outputs, 8) if self.result == 32 else 1)
                if self.scale:
                    scales = outputs if o == len(output_tiles) - 1 else OUTPUTS
                    total += (scales if self.scale == 32 else up(scales, 4)) + 21
        return total

    def _pixel_tiles(self) -> list[tuple[int, int, int]]:
        """Rows and columns of each tile of results, and how many pixels of inputs are loaded for it."""
        reach, found = self.mode.reach, []
        rows, columns = tiles_of(self.rows, TILE), tiles_of(self.columns, TILE)
        for i, high in enumerate(rows):
            for j, wide in enumerate(columns):
                tall = self.last_inputs[0] if i == len(rows) - 1 else high + reach
                broad = self.last_inputs[1] if j == len(columns) - 1 else wide + reach
                found.append((high, wide, 42 if self.mode is Mode.POINT else tall * broad))
        return found

    def _sums(self, outputs: int, loaded: int, pending: int, last: bool) -> tuple[int, int]:
        """Cycles of one tile's products, and what is pending after it."""
        if self.mode is Mode.DEPTHWISE:
            return 6 + loaded + 34 + outputs * self.levels.bits, 0
        weights = outputs if self.mode is Mode.POINT else outputs * self.levels.bits + 8
        begin = 7 if self.mode is Mode.POINT else 6
        total, tiles = 0, up(self.inputs, self.tile_inputs)
        for tile in range(tiles):
            total += 6 + loaded + max(0, pending - 3 - loaded) + begin
            pending = begin
            if last and tile == tiles - 1:
                total += weights
            else:
                pending += weights
        return total, pending


def wrong(registers: Sequence[int]) -> str | None:
    """Why the engine does not compute what 24 registers ask for, None where it does."""
    conf, padding = registers[CONF], registers[PADDING]
    top, right, bottom, left = (padding >> at & 15 for at in (28, 24, 20, 16))
    mode = conf >> MODE & 3
    outputs, inputs = halves(registers[LAST_CHANNELS])
    output_tiles, input_tiles = halves(registers[CHANNEL_TILES])
    (rows, columns), (high, wide) = halves(registers[LAST_RESULTS]), halves(registers[PIXEL_TILES])
    window = TILE if mode >= Mode.POINT else TILE + 2
    result, scale = conf >> RESULT & 3, conf >> SCALE & 3
    rules = (
        (conf & (MODE16 | LINEAR), "inputs of 16 bits and the linear mode are not evaluated"),
        (conf & STRIDED, "the stride leaves pixels out, and only of small tiles"),
        (conf & STREAM_IN, "adding to results in memory is wrong for depthwise jobs, and reads past partial tiles"),
        (result not in (0, 2), "results of 16 bits are not written"),
        (conf & QUANTISE and scale not in (0, 2), "multipliers have 8 or 32 bits"),
        (conf & QUANTISE and not conf & BIAS, "without a bias, scaled sums are not cut to 32 bits"),
        (result == 0 and not conf & QUANTISE, "sums are bytes only once they are scaled"),
        (conf & 7 == 0, "weights have 2 to 8 bits"),
        (conf & PREFETCH and not conf & FAR_WEIGHTS, "weights that are prefetched come from weight memory"),
        (padding & 0xFFFF, "what lies right of the image or below it reads as 0 or as memory"),
        (padding and mode >= Mode.POINT, "a 1x1 job has no border"),
        (max(top, right, bottom, left) > 2, "borders have at most two pixels"),
        ((bottom > 1 and rows == 1 and high > 1) or (right > 1 and columns == 1 and wide > 1),
         "the tile before one of a single row or column reads past a border of two pixels"),
        (registers[MASK], "taps are not masked"),
        (mode == Mode.DEPTHWISE and (outputs, output_tiles) != (inputs, input_tiles),
         "depthwise jobs have as many outputs as inputs"),
        (0 in (outputs, inputs, output_tiles, input_tiles, rows, columns, high, wide), "a job computes something"),
        (outputs > (TAP_INPUTS if mode == Mode.DEPTHWISE else OUTPUTS) or max(rows, columns) > TILE
         or inputs > (POINT_INPUTS if mode >= Mode.POINT else TAP_INPUTS)
         or not 1 <= min(halves(registers[LAST_INPUTS])) <= max(halves(registers[LAST_INPUTS])) <= window,
         "a last tile is no larger than a tile"),
        (mode > Mode.POINT, "there are three modes"),
    )  # fmt: skip
    return next((rule for broken, rule in rules if broken), None)


def form(jobs: Sequence[Job]) -> dict[str, int | tuple[int, ...]]:
    """The arguments of the functions in kernels/neureka.c. ValueError for what the engine gets wrong.

    `form` has of each job what to add to the call's addresses, in the order of their registers, then the others.
    """
    words: list[int] = []
    for job in jobs:
        border = sum(map(math.prod, zip(job.pad, reversed(job.in_strides), strict=False)))
        words += [job.w_at - WEIGHT_MEMORY, job.x_at - border, job.y_at, job.mul_at, 0, job.add_at]
        words += np.array(job.registers()[IN_PIXEL:], np.int64).astype(np.int32).tolist()
    return {"form": tuple(words), "jobs": len(jobs)}


def described(calls: Sequence[Mapping[str, Argument]]) -> list[list[Described]]:
    """What the runtime reads of the jobs of a program's calls, from their forms.

    Jobs take turns at the engine's two contexts, whose registers stay as they are: a job has those that differ from the
    job before the last. What there was before the program is not known.
    """
    found: list[list[Described]] = []
    contexts: list[dict[int, int]] = [{}, {}]
    for call in calls:
        words, jobs = call["form"], []
        assert isinstance(words, tuple)
        for at in range(0, len(words), LENGTH):
            places, others = words[at : at + PLACES], words[at + PLACES : at + LENGTH]
            had, contexts = contexts[0], contexts[::-1]
            changed = {REGISTERS + 4 * i: word for i, word in enumerate(others, PLACES)}
            changed = {place: word for place, word in changed.items() if had.get(place) != word}
            had |= changed
            table = itertools.chain.from_iterable((word, place) for place, word in changed.items())
            jobs.append(Described(tuple((name, places[i]) for i, name in ADDRESSES), (len(changed), *table)))
        found.append(jobs)
    return found


def rest(size: int, part: int) -> int:
    """The last of these parts."""
    return (size - 1) % part + 1


def tiles_of(size: int, part: int) -> list[int]:
    """All of these parts."""
    return [part] * (up(size, part) - 1) + [rest(size, part)]


def pair(high: int, low: int) -> int:
    """Two numbers in a register."""
    return high << 16 | low


def halves(word: int) -> tuple[int, int]:
    """The numbers of a `pair`."""
    return word >> 16 & 0xFFFF, word & 0xFFFF
