"""Builds the chip simulator (sim/, C++20) into src/tilewright/_sim/ when the package is built or installed.

The system's C++ compiler where there is one, else clang from the ziglang wheel; cmake and ninja come as wheels.
`TILEWRIGHT_NO_SIM=1` leaves the simulator out.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PROGRAM = "siracusa-sim" + (".exe" if os.name == "nt" else "")


def _tool(module: str) -> str:
    """An executable of the build environment (a wheel of that name), else of the system."""
    scripts = Path(sysconfig.get_path("scripts"))
    found = shutil.which(module, path=str(scripts)) or shutil.which(module)
    if found is None:
        raise RuntimeError(f"{module} is needed to build the chip simulator (or set TILEWRIGHT_NO_SIM=1)")
    return found


def _compiler(scratch: Path) -> list[str]:
    """CMake arguments that choose the C++ compiler: c++ of the system, else a one-line script around zig c++."""
    if os.environ.get("CXX") or shutil.which("c++") or os.name == "nt":
        return []
    script = scratch / "zig-c++"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ziglang c++ "$@"\n')
    script.chmod(0o755)
    archiver = scratch / "zig-ar"
    archiver.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ziglang ar "$@"\n')
    archiver.chmod(0o755)
    ranlib = scratch / "zig-ranlib"
    ranlib.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ziglang ranlib "$@"\n')
    ranlib.chmod(0o755)
    return [f"-DCMAKE_CXX_COMPILER={script}", f"-DCMAKE_AR={archiver}", f"-DCMAKE_RANLIB={ranlib}"]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"building the chip simulator failed:\n{' '.join(command)}\n{done.stdout[-4000:]}")


def _fingerprint(source: Path) -> str:
    """Changes with everything that the program is made of."""
    digest = hashlib.sha256(sysconfig.get_platform().encode())
    for path in [source / "CMakeLists.txt", *sorted((source / "src").iterdir())]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def build_simulator(source: Path, target: Path) -> Path:
    """Build `source` (the folder sim/), put the program into the folder `target`; nothing to do if it is there."""
    made_from, stamp = _fingerprint(source), target / "made-from"
    if (target / PROGRAM).exists() and stamp.exists() and stamp.read_text() == made_from:
        return target / PROGRAM
    with tempfile.TemporaryDirectory(prefix="tilewright-sim-") as folder:
        scratch = Path(folder)
        build = scratch / "build"
        ninja = _tool("ninja")
        _run([
            _tool("cmake"), "-S", str(source), "-B", str(build), "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}",
            "-DCMAKE_BUILD_TYPE=Release", *_compiler(scratch),
        ])  # fmt: skip
        _run([ninja, "-C", str(build), "-j", str(min(os.cpu_count() or 1, 8)), "siracusa-sim"])
        target.mkdir(parents=True, exist_ok=True)
        fresh = target / (PROGRAM + ".new")
        shutil.copy2(build / PROGRAM, fresh)
        fresh.replace(target / PROGRAM)  # a running program keeps its file
        stamp.write_text(made_from)
    return target / PROGRAM


class CustomBuildHook(BuildHookInterface):  # type: ignore[misc]
    """Puts the program into the package; the wheel becomes one of this platform, for any Python 3."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before a wheel, editable ones included, is made."""
        if self.target_name != "wheel" or os.environ.get("TILEWRIGHT_NO_SIM"):
            return
        root = Path(self.root)
        program = build_simulator(root / "sim", root / "src" / "tilewright" / "_sim")
        build_data["artifacts"].append(f"src/tilewright/_sim/{PROGRAM}")
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"
        self.app.display_info(f"chip simulator: {program}")
