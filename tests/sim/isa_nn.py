"""The instruction model: XpulpNN but for its staircase quantisation. Nibbles (n), crumbs (c), and MAC with load."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from isa_machine import F7, MASK32, Execute, Instruction, Machine, Word, joined, lanes, op1, signed

Lanewise = Callable[[int, int, int], int]  # of two lanes and their width in bits
SIGNS = {"up": (False, False), "usp": (False, True), "sup": (True, False), "sp": (True, True)}

OPERATIONS: list[tuple[str, int, bool, Lanewise]] = [
    ("add", 0x00, True, lambda a, b, _: a + b), ("sub", 0x02, True, lambda a, b, _: a - b),
    ("avg", 0x04, True, lambda a, b, bits: signed(a + b, bits) >> 1),
    ("avgu", 0x06, False, lambda a, b, bits: (a + b & ((1 << bits) - 1)) >> 1),
    ("min", 0x08, True, lambda a, b, _: min(a, b)), ("minu", 0x0A, False, lambda a, b, _: min(a, b)),
    ("max", 0x0C, True, lambda a, b, _: max(a, b)), ("maxu", 0x0E, False, lambda a, b, _: max(a, b)),
    ("srl", 0x10, False, lambda a, b, bits: a >> (b & (bits - 1))),
    ("sra", 0x12, True, lambda a, b, bits: a >> (b & (bits - 1))),
    ("sll", 0x14, False, lambda a, b, bits: a << (b & (bits - 1))),
    ("or", 0x16, True, lambda a, b, _: a | b), ("xor", 0x18, True, lambda a, b, _: a ^ b),
    ("and", 0x1A, True, lambda a, b, _: a & b),
]  # fmt: skip


def nn_rows() -> Iterator[Instruction]:
    """Every XpulpNN instruction but pv.qnt.n."""
    for bits, letter, bit25 in ((4, "n", 0), (2, "c", 1)):
        for kind, funct3 in (("", 2), ("sc", 3)):
            match = 0x57 | funct3 << 12 | bit25 << 25
            for name, code, is_signed, function in OPERATIONS:
                full = ".".join(part for part in ("pv", name, kind, letter) if part)
                yield Instruction(full, "r", match | code << 26, F7, lanewise(function, bits, kind, is_signed))
            for name, code in (("up", 0x20), ("usp", 0x22), ("sp", 0x26)):
                for onto in (False, True):
                    full = ".".join(part for part in (f"pv.{'s' if onto else ''}dot{name}", letter, kind) if part)
                    yield Instruction(full, "r", match | (code + 8 * onto) << 26, F7, dot(name, bits, kind, onto))
        absolute = 0x70002057 | bit25 << 25
        yield op1(f"pv.abs.{letter}", absolute, lambda a, w=bits: joined([abs(v) for v in lanes(a, w, True)], w), F7)  # type: ignore[misc]
    for name, code in (("up", 0x70), ("usp", 0x74), ("sup", 0x6C), ("sp", 0x7C)):
        for funct3, bits in enumerate((16, 8, 4, 2)):
            yield Instruction(
                f"pv.mlsdot{name}.{'hbnc'[funct3]}",
                "mlsdot",
                0x77 | funct3 << 12 | code << 25,
                F7,
                mac_load(name, bits),
            )


def lanewise(function: Lanewise, bits: int, kind: str, is_signed: bool) -> Execute:
    def execute(m: Machine, w: Word) -> None:
        a, b = lanes(m.x[w.rs1], bits, is_signed), lanes(m.x[w.rs2], bits, is_signed)
        second = [b[0]] * len(b) if kind else b
        m.set(w.rd, joined([function(x, y, bits) for x, y in zip(a, second, strict=True)], bits))

    return execute


def products(name: str, a: int, b: int, bits: int, kind: str = "") -> int:
    first, second = lanes(a, bits, SIGNS[name][0]), lanes(b, bits, SIGNS[name][1])
    return sum(x * (second[0] if kind else y) for x, y in zip(first, second, strict=True))


def dot(name: str, bits: int, kind: str, onto: bool) -> Execute:
    def execute(m: Machine, w: Word) -> None:
        m.set(w.rd, products(name, m.x[w.rs1], m.x[w.rs2], bits, kind) + (m.x[w.rd] if onto else 0))

    return execute


def mac_load(name: str, bits: int) -> Execute:
    """Add the dot product of a weight and an activation register; then one may be loaded from rs1, which steps a word.

    The immediate: bit 4 loads the weight, bit 3 the activation (which wins), bits 2:1 name the weight, bit 0 the
    activation. Up and usp take the weight first, sup and sp the activation.
    """

    def execute(m: Machine, w: Word) -> None:
        activation, weight = w.rs2 & 1, 2 + (w.rs2 >> 1 & 3)
        first, second = (weight, activation) if name in ("up", "usp") else (activation, weight)
        m.set(w.rd, m.x[w.rd] + products(name, m.special[first], m.special[second], bits))
        if w.rs2 & 0x18:
            m.special[activation if w.rs2 & 8 else weight] = m.load(m.x[w.rs1], 4)
            m.set(w.rs1, m.x[w.rs1] + 4 & MASK32)

    return execute


NN_TABLE = tuple(nn_rows())
