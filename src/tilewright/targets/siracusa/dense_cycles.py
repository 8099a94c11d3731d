"""Cycles of matrix products on eight cores: what the busiest one does, in calls, blocks of four rows, tiles, and words.

All numbers are fitted to calls measured on the simulator (`--timing gvsoc`): warm calls, operands in L1. Inner loops
(24 instructions for a word of a tile of four tokens, 14 for one of two, 17 for one of eight rows) take 1 to 4 % more
than that, from bank conflicts.
"""

from __future__ import annotations

from .share import up

CONFLICTS = 1.035
# Of rows of 64 weights: a call, a row.
STREAM, STREAM_SUMS, STREAM_ADD, STREAM_MULTIPLES = (155, 38.5), (109, 33.6), (187, 44.2), (150, 38.8)
STREAM_BYTES = 155, 37.5
FEW_CALL, FEW_BLOCK = 50, 45
EIGHTS_CALL, EIGHTS_BLOCK = 120, 120
GATE_CALL, GATE_PAIR = 168, 78.4  # of rows of 64 weights, with their product
ROWS_CALL, ROWS_ROW = 80, 18
GEMV_CALL, GEMV_EIGHT, GEMV_FOUR = 238, 155, 160
REGISTERS_CALL, REGISTERS_BLOCK, REGISTERS_ROW = 184, 184, 30.6
FOURS_WORD, PAIR_WORD = 24 * 1.01, 14 * CONFLICTS
BYTES_CALL, BYTES_BLOCK, BYTES_TILE = 400, 50, 98
GEMM_CALL, GEMM_BLOCK = 850, 80
PAIR_CALL, PAIR_BLOCK = 480, 70
# What follows the sums, by result: of a tile of 16, of a tile of eight, of one that goes through memory, of one row's.
FOURS = {"sums": 55, "bytes": 120, "halves": 130, "bounded": 175, "joined": 235, "wide": 370}
TILE = {"sums": 22, "bytes": 77, "halves": 82, "bounded": 95, "joined": 150, "wide": 170}
LOOSE = {"sums": 190, "bytes": 380, "halves": 380, "bounded": 400, "joined": 440, "wide": 790}
ROW = {"sums": 4, "bytes": 15, "halves": 15, "bounded": 20, "joined": 16, "wide": 57}


def stream(rows: int, form: tuple[float, float] = STREAM) -> float:
    """Rows of 64 weights times one row of inputs in registers."""
    call, row = form
    return call + row * rows


def few(rows: int, cols: int) -> float:
    """Sums of rows of weights, four at a time, times one row of inputs."""
    blocks = up(rows, 4)
    each = 2 * rows + blocks + (rows % 4 == 1)  # of a row alone, words come too late
    return FEW_CALL + blocks * FEW_BLOCK + CONFLICTS * up(cols, 4) * each


def eights(blocks: int, cols: int) -> float:
    """Blocks of eight rows of weights times one row of inputs."""
    return EIGHTS_CALL + blocks * (EIGHTS_BLOCK + CONFLICTS * 17 * up(cols, 4))


def rows_alone(rows: int, cols: int) -> float:
    """Rows of weights one after the other times one row of inputs."""
    return ROWS_CALL + rows * (ROWS_ROW + CONFLICTS * 3 * up(cols, 4))


def gemv(rows: int, cols: int, registers: bool, finish: str) -> float:
    """A core's rows of weights times one row of inputs."""
    if registers:
        return REGISTERS_CALL + REGISTERS_BLOCK * up(rows, 32) + rows * (REGISTERS_ROW + ROW[finish])
    words, eights, fours = up(cols, 4), rows // 8, up(rows % 8, 4)
    inner = CONFLICTS * words * (17 * eights + 9 * fours)
    return GEMV_CALL + GEMV_EIGHT * eights + GEMV_FOUR * fours + inner + rows * ROW[finish]


def fours(blocks: int, tokens: int, cols: int) -> float:
    """Blocks of four rows of weights times four tokens each, to bytes."""
    return BYTES_CALL + blocks * (BYTES_BLOCK + tokens * (BYTES_TILE + FOURS_WORD * up(cols, 4)))


def gemm(rows: int, tokens: int, cols: int, finish: str, tiled: bool = True) -> float:
    """A core's rows of weights times its rows of inputs."""
    return GEMM_CALL + columns(rows, tokens, cols, finish, tiled)


def columns(rows: int, tokens: int, cols: int, finish: str, tiled: bool) -> float:
    """The same without the call: blocks of four rows times four tokens each, and what is left in pairs of them."""
    misaligned = {0: 0.0, 2: 1.0}.get(cols % 4, 1.5)  # words that are read in two accesses, of a pair of rows
    words, pairs, whole = up(cols, 4), up(tokens, 2), rows // 4 if tiled else 0
    pair, loose = words * (PAIR_WORD + 1.45 * misaligned), up(rows - 4 * whole, 4)
    done = 0 if words == 1 or (4 < tokens < 8 and cols < 300) else tokens // 4
    calls = (tokens // 2 > 2 * done) + tokens % 2 if whole else 0
    cycles = max(0, calls - (done == 0)) * PAIR_CALL + whole * (
        calls * PAIR_BLOCK + (pairs - 2 * done) * (pair + TILE[finish])
    )
    if done:
        cycles += whole * (GEMM_BLOCK + done * (FOURS[finish] + words * (FOURS_WORD + 2.9 * misaligned)))
    return cycles + loose * (180 + pairs * (pair + LOOSE[finish]))


def float_columns(rows: int, tokens: int, cols: int, far: bool = False) -> float:
    """Floats: four rows of weights by four of inputs, or by one; two cores share a floating-point unit.

    `far`: the four are not side by side in memory.
    """
    word = 43.5 if far else 38.8
    return up(rows, 4) * (60 + tokens // 4 * (450 + word * cols) + tokens % 4 * (200 + 13.5 * cols))
