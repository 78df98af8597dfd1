"""The house: rooms of wgf/ import from the rooms below them, never up and never in a circle."""

import ast
import subprocess
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import wgf

ROOT = Path(wgf.__file__).parent
MOST_FLOORS, MOST_LINES, MOST_FILES = 12, 300, 14
APPLICATION = {"cli", "sweep", "run", "settings", "files"}  # rooms that may use the packages below
HEAVY = {"hydra", "omegaconf", "tensorboard", "matplotlib", "rich"}


def name_of(file: Path) -> str:
    """The module of a file: wgf.projection.linalg.banded."""
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(file): file for file in sorted(ROOT.rglob("*.py"))}


def room_of(module: str) -> str:
    """The folder or file directly below wgf/ in which a module lives."""
    return module.split(".")[1]


def imports(module: str, text: str | None = None) -> set[str]:
    """Every module an import statement of a file names, wherever the statement stands."""
    tree = ast.parse(FILES[module].read_text(encoding="utf-8") if text is None else text)
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively in line {node.lineno}"
            names = {f"{node.module}.{alias.name}" for alias in node.names}  # a submodule, or a name inside
            found |= {name if name in FILES else str(node.module) for name in names}
    return found


def own(module: str) -> set[str]:
    """The files of wgf/ a file imports."""
    return {name for name in imports(module) if name.split(".")[0] == "wgf"}


def python(code: str) -> list[str]:
    """The words a fresh interpreter prints."""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.split()


LOADED = "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"


def test_reads_every_kind_of_import():
    lines = [
        "import torch.utils.tensorboard",
        "def f():",
        "    from wgf.problem import laws",
        "    from wgf.errors import E",
    ]
    assert imports("wgf.cli", "\n".join(lines)) == {"torch.utils.tensorboard", "wgf.problem.laws", "wgf.errors"}


def order(graph: dict[str, set[str]]) -> list[str]:
    """The keys of a graph of imports, from the ground up."""
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"these import each other: {' <- '.join(error.args[1])}")


def floors(graph: dict[str, set[str]]) -> dict[str, int]:
    """How many storeys lie below each key."""
    found: dict[str, int] = {}
    for name in order(graph):
        found[name] = 1 + max((found[below] for below in graph[name]), default=0)
    return found


def rooms() -> dict[str, set[str]]:
    """Which rooms each room imports from."""
    graph: dict[str, set[str]] = {room_of(name): set() for name in FILES if name != "wgf"}
    for name in FILES.keys() - {"wgf"}:
        graph[room_of(name)] |= {room_of(other) for other in own(name) if other != "wgf"} - {room_of(name)}
    return graph


def test_no_circle_between_files():
    found = order({name: own(name) for name in FILES})
    assert found.index("wgf.errors") < found.index("wgf.projection.field") < found.index("wgf.run.runner")


def test_rooms_stand_on_few_floors():
    found = floors(rooms())
    assert max(found.values()) <= MOST_FLOORS, found
    assert found["errors"] == 1
    assert found["problem"] < found["projection"] < found["integrators"] < found["run"] < found["sweep"] < found["cli"]


def test_a_circle_between_rooms_is_found():
    with pytest.raises(pytest.fail.Exception, match="import each other"):
        order({"run": {"sweep"}, "sweep": {"run"}})


def test_nothing_imports_the_package_itself():
    assert not [name for name in FILES if "wgf" in own(name)]


def test_files_are_short_and_folders_small():
    long = {name: lines for name, file in FILES.items() if (lines := len(file.read_text().splitlines())) > MOST_LINES}
    assert not long
    folders = Counter(file.parent for file in FILES.values())
    assert not {folder.name: count for folder, count in folders.items() if count > MOST_FILES}


LIBRARY = [name for name in FILES if name != "wgf" and room_of(name) not in APPLICATION]


@pytest.mark.parametrize("module", [name for name in LIBRARY if room_of(name) != "figures"])
def test_the_library_imports_no_application(module):
    heavy = [name for name in imports(module) if HEAVY & set(name.split("."))]
    assert not heavy or module == "wgf.flow", f"{module} is part of the library and imports {heavy}"


def test_importing_the_package_costs_nothing():
    assert not (HEAVY | {"torch", "numpy", "scipy"}) & set(python("import wgf" + LOADED))


def test_the_command_starts_without_torch():
    loaded = set(python("import wgf.cli" + LOADED))
    assert "hydra" in loaded
    assert not {"torch", "tensorboard", "matplotlib", "scipy"} & loaded


def test_the_library_loads_no_application_and_solves_without_one():
    library = [name for name in LIBRARY if room_of(name) != "figures"]
    solve = "wgf.solve(wgf.FokkerPlanck(), t_end=0.01, saves=1).density(0.01, 0.0)"
    loaded = set(python(f"import {', '.join(library)}; {solve}" + LOADED))
    assert "torch" in loaded
    assert not HEAVY & loaded


def test_public_names():
    assert set(wgf.__all__) <= set(dir(wgf))
    for name in wgf.__all__:
        assert getattr(wgf, name).__name__ == wgf._MODULES.get(name, name)
    with pytest.raises(AttributeError, match="no attribute 'Lww'"):
        wgf.Lww  # noqa: B018
