"""The cache of object files: found where nothing changed, never where something did."""

from __future__ import annotations

from pathlib import Path

import pytest

from tilewright.targets.host import objects, toolchain
from tilewright.targets.registry import TARGETS


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """An empty cache, and the sources that were compiled by a stand-in that copies them."""
    log: list[str] = []

    def stand_in(command: list[str]) -> None:
        source = Path(command[command.index("-c") + 1])
        Path(command[-1]).write_bytes(source.read_bytes())
        log.append(source.name)

    monkeypatch.setenv("TILEWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(toolchain, "run", stand_in)
    return log


def project(folder: Path, depth: str = "1") -> Path:
    """main.c includes a.h of the kernels, which includes b.h."""
    (folder / "kernels").mkdir(parents=True, exist_ok=True)
    (folder / "main.c").write_text('#include "a.h"\nint f(void) { return DEPTH; }\n')
    (folder / "kernels" / "main.c").write_text("int g;\n")
    (folder / "kernels" / "a.h").write_text('  #  include "b.h"\n#include <stdint.h>\n')
    (folder / "kernels" / "b.h").write_text(f"#define DEPTH {depth}\n")
    (folder / "kernels" / "unused.h").write_text(folder.name)
    return folder


def build(folder: Path) -> list[Path]:
    sources = [folder / "main.c", folder / "kernels" / "main.c"]
    return toolchain.compile_objects(sources, [folder, folder / "kernels"], folder / "build")


def test_files_of_one_name_in_two_folders_are_two_objects(compiled: list[str], tmp_path: Path) -> None:
    made = build(project(tmp_path / "a"))
    assert [p.read_text() for p in made] == ['#include "a.h"\nint f(void) { return DEPTH; }\n', "int g;\n"]


def test_equal_projects_are_compiled_once(compiled: list[str], tmp_path: Path) -> None:
    first = build(project(tmp_path / "a"))
    assert compiled == ["main.c", "main.c"]
    second = build(project(tmp_path / "b"))
    assert compiled == ["main.c", "main.c"]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_a_header_of_a_header_counts(compiled: list[str], tmp_path: Path) -> None:
    build(project(tmp_path / "a"))
    compiled.clear()
    build(project(tmp_path / "a", depth="2"))
    assert compiled == ["main.c"], "only the one that includes it"


@pytest.mark.parametrize("what", ["flags", "compiler", "machine"])
def test_flags_compiler_and_machine_count(
    compiled: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    build(project(tmp_path / "a"))
    compiled.clear()
    match what:
        case "flags":
            monkeypatch.setattr(toolchain, "CFLAGS", (*toolchain.CFLAGS, "-DX"))
        case "compiler":
            monkeypatch.setattr(toolchain, "version", lambda: "another")
        case _:
            monkeypatch.setattr(objects, "_machine", lambda: "another")
    build(project(tmp_path / "a"))
    assert compiled == ["main.c", "main.c"]


def test_the_cache_stays_below_its_limit(compiled: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "LIMIT", 200)
    for depth in range(20):
        build(project(tmp_path / "a", depth=str(depth)))
    assert sum(p.stat().st_size for p in objects.folder().iterdir()) <= 200


def test_without_a_cache_it_compiles(compiled: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TILEWRIGHT_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        build(project(tmp_path / "a"))
    assert compiled == ["main.c"] * 4


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_no_kernel_file_hides_one_of_another_folder(name: str) -> None:
    """Rows of a target may be the host's: were one of its own files named alike, its symbols would be missing."""
    names = [path.name for folder in TARGETS[name]().kernel_folders for path in folder.glob("*.[ch]")]
    assert len(names) == len(set(names)) > 0
