"""Object files, kept by content: the same source, headers, flags and compiler are compiled once per machine.

Kernels are the same for all networks, so most of a build is found. The folder is `TILEWRIGHT_CACHE`, else
`~/.cache/tilewright`; it is never needed, may be deleted at any time, and stays below LIMIT.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

LIMIT = 512 << 20  # bytes kept
_INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*["<]([^">\n]+)[">]', re.MULTILINE)


def cached(
    source: Path, includes: Sequence[Path], command: Sequence[str], target: Path, make: Callable[[], None]
) -> None:
    """Put the object file of a source at `target`: from the cache, else by `make`, which leaves it there.

    `command` is what compiles, without paths: together with the texts it decides the object.
    """
    try:
        kept = folder() / f"{_key(source, includes, command)}.o"
        if kept.exists():
            shutil.copyfile(kept, target)
            os.utime(kept)
            return
    except OSError:  # no home, or not ours: compile as if there were no cache
        make()
        return
    make()
    try:
        _keep(target, kept)
    except OSError:
        return


def folder() -> Path:
    """Where objects are kept."""
    chosen = os.environ.get("TILEWRIGHT_CACHE")
    home = os.environ.get("XDG_CACHE_HOME")
    base = Path(chosen) if chosen else (Path(home) if home else Path.home() / ".cache") / "tilewright"
    made = base / "objects"
    made.mkdir(parents=True, exist_ok=True)
    return made


def _key(source: Path, includes: Sequence[Path], command: Sequence[str]) -> str:
    digest = hashlib.sha256(repr((*command, _machine())).encode())
    for path in _texts(source, includes):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _texts(source: Path, includes: Sequence[Path]) -> list[Path]:
    """The source and the headers of `includes` that it names, in order; what is not there belongs to the compiler."""
    found: dict[Path, None] = {source: None}
    queue = [source]
    while queue:
        path = queue.pop(0)
        for name in _INCLUDE.findall(path.read_bytes()):
            places = (folder / os.fsdecode(name) for folder in (path.parent, *includes))
            header = next((p for p in places if p.is_file()), None)
            if header is not None and header not in found:
                found[header] = None
                queue.append(header)
    return list(found)


@cache
def _machine() -> str:
    """What -march=native means here."""
    lines: list[str] = []
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            wanted = ("vendor_id", "cpu family", "model", "flags", "Features", "CPU part", "isa")
            lines = sorted({line.strip() for line in file if line.startswith(wanted)})
    except OSError:
        lines = [platform.processor()]
    return f"{platform.system()} {platform.machine()} {lines}"


def _keep(made: Path, kept: Path) -> None:
    """Copy an object into the cache, whole or not at all; forget those that were not used for longest."""
    handle, name = tempfile.mkstemp(dir=kept.parent, prefix=".new-")
    os.close(handle)
    try:
        shutil.copyfile(made, name)
        Path(name).replace(kept)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    entries = sorted(((e.stat().st_mtime, e.stat().st_size, e.path) for e in os.scandir(kept.parent)), reverse=True)
    total = 0
    for _, size, path in entries:
        total += size
        if total > LIMIT:
            Path(path).unlink(missing_ok=True)
