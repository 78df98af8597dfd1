"""The house stands: a file of wgf/ imports from the floors below it, never up and never in a circle."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import wgf

ROOT = Path(wgf.__file__).parent
FLOORS = [
    {"errors", "status", "ranges", "signals", "device"},
    {"reference", "quadrature", "expression"},
    {"networks", "linalg", "distance", "computed"},
    {"energies", "tangent"},
    {
        "problem",
        "exact",
        "fluxes",
        "finite_volume",
        "particles",
        "projection",
        "posed",
        "solvers",
        "chart",
        "landscape",
    },
    {"integrators", "approximation"},
    {"files", "leaves", "solution", "evolve", "metrics", "comparison", "callbacks", "table", "figures", "flow", "api"}
    | {"recorder", "checks", "provenance", "page"},
    {"signature", "memory", "config", "refusing", "trust", "runner", "job", "sweep", "watch", "launch", "cli"}
    | {"experiment", "verify", "resume", "study", "report", "stored"},
]
LIBRARY = 5  # the highest floor that a notebook can use without the packages below
HEAVY = {"hydra", "omegaconf", "tensorboard", "matplotlib"}
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}


def name_of(file: Path) -> str:
    """The module of a file: wgf.linalg.banded."""
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(file): file for file in sorted(ROOT.rglob("*.py"))}


def floor_of(module: str) -> int:
    return FLOOR[module.split(".")[1]]


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
    text = "import torch.utils.tensorboard\ndef f():\n    from wgf import exact\n    from wgf.status import Status\n"
    assert imports("wgf.cli", text) == {"torch.utils.tensorboard", "wgf.exact", "wgf.status"}


def test_every_file_has_a_floor():
    homeless = [name for name in FILES if name != "wgf" and name.split(".")[1] not in FLOOR]
    assert not homeless, f"{homeless} are in no floor: give them one in FLOORS"
    assert len(FILES) > 30


@pytest.mark.parametrize("module", [name for name in FILES if name != "wgf"])
def test_imports_point_down(module):
    up = [name for name in own(module) if name == "wgf" or floor_of(name) > floor_of(module)]
    assert not up, f"{module} on floor {floor_of(module)} imports {up} from above"
    if floor_of(module) <= LIBRARY:
        heavy = [name for name in imports(module) if HEAVY & set(name.split("."))]
        assert not heavy, f"{module} is part of the library and imports {heavy}"


def test_no_circle():
    try:
        order = list(TopologicalSorter({name: own(name) for name in FILES}).static_order())
    except CycleError as error:
        pytest.fail(f"these files import each other: {' <- '.join(error.args[1])}")
    assert order.index("wgf.errors") < order.index("wgf.projection") < order.index("wgf.runner") < len(FILES)


def test_importing_the_package_costs_nothing():
    assert not (HEAVY | {"torch", "numpy", "scipy"}) & set(python("import wgf" + LOADED))


def test_the_command_starts_without_torch():
    loaded = set(python("import wgf.cli" + LOADED))
    assert "hydra" in loaded
    assert not {"torch", "tensorboard", "matplotlib", "scipy"} & loaded


def test_the_library_needs_no_application():
    library = [name for name in FILES if name != "wgf" and floor_of(name) <= LIBRARY]
    loaded = set(python(f"import {', '.join(library)}" + LOADED))
    assert "torch" in loaded
    assert not HEAVY & loaded


def test_public_names():
    assert set(wgf.__all__) <= set(dir(wgf))
    for name in wgf.__all__:
        assert getattr(wgf, name).__name__ == wgf._MODULES.get(name, name)
    with pytest.raises(AttributeError, match="no attribute 'Lww'"):
        wgf.Lww  # noqa: B018
