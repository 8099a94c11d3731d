"""How many bytes of each memory a linked program takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .target import STACKS

REGIONS = {"l1": (0x10000000, 0x40000), "l2": (0x1C010000, 0x1F0000), "wmem": (0x10400000, 0x800000)}
HOLDS = {
    "l1": f"buffers, state, {STACKS:,} of stacks",
    "l2": "code, text, what L1 has no room for",
    "wmem": "constants",
}


def used(elf: Path) -> dict[str, int]:
    """Bytes from each memory's start to the end of what the program has there."""
    from elftools.elf.constants import SH_FLAGS
    from elftools.elf.elffile import ELFFile

    found = dict.fromkeys(REGIONS, 0)
    with elf.open("rb") as file:
        for section in ELFFile(file).iter_sections():
            begin, size = section["sh_addr"], section["sh_size"]
            for name, (start, length) in REGIONS.items():
                if section["sh_flags"] & SH_FLAGS.SHF_ALLOC and size and start <= begin < start + length:
                    found[name] = max(found[name], begin + size - start)
    return found


def rows(taken: Mapping[str, int]) -> list[tuple[str, str, str]]:
    """What `used` found, as rows of a table for people: memory, bytes, what it holds."""
    return [(name, f"{taken[name]:,} of {size:,} bytes", HOLDS[name]) for name, (_, size) in REGIONS.items()]
