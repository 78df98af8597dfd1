"""The documentation site: `python scripts/site.py` builds outputs/site/html from docs/, with search and the API.

It needs the extra `docs`. A broken link ends the build. The pages of docs/ read as well without the site.
"""

import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import wgf

ROOT = Path(__file__).parents[1]
ROOMS = {  # the part of wgf/ that declares a name -> its heading
    "api": "Solve an equation",
    "flow": "Solve an equation",
    "run": "Solve an equation",
    "saved_maps": "Solve an equation",
    "ensembles": "Many flows at once",
    "problem": "Equations, laws, energies, quadrature",
    "networks": "Networks",
    "projection": "Projection and its solvers",
    "integrators": "Time integrators",
    "reference_solutions": "Reference solutions",
    "gradients": "Derivatives",
    "errors": "Errors",
}


def api_page() -> str:
    """The page of all public names, one section for each part of the package, for mkdocstrings to fill."""
    sections: dict[str, list[str]] = defaultdict(list)
    for name, home in wgf._HOME.items():
        target = home if home.rpartition(".")[2] == name else f"{home}.{name}"
        sections[ROOMS[home.split(".")[1]]].append(f"::: {target}")
    parts = ["# The Python interface", "Every public name of `wgf`."]
    for title in dict.fromkeys(ROOMS.values()):
        parts += [f"## {title}", *sections[title]]
    return "\n\n".join(parts) + "\n"


def notebook_page(notebook: Path, folder: Path) -> str:
    """An executed notebook as Markdown; its pictures are written to the folder."""
    from nbconvert import MarkdownExporter

    text, resources = MarkdownExporter().from_filename(str(notebook))
    for name, data in resources["outputs"].items():
        (folder / name).write_bytes(data)
    return text


def prepare(pages: Path) -> None:
    """Copy docs/ to a folder and add the pages that only the site has."""
    docs = ROOT / "docs"
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(docs, pages, ignore=shutil.ignore_patterns("*.toml", "*.ipynb", "examples", "__pycache__"))
    index = (pages / "README.md").read_text(encoding="utf-8")
    (pages / "README.md").unlink()
    (pages / "index.md").write_text(index.replace("(tutorial.ipynb)", "(tutorial.md)"), encoding="utf-8")
    (pages / "tutorial.md").write_text(notebook_page(docs / "tutorial.ipynb", pages), encoding="utf-8")
    (pages / "api.md").write_text(api_page(), encoding="utf-8")
    shutil.copy(ROOT / "CHANGELOG.md", pages / "changelog.md")


def main(site: Path = ROOT / "outputs" / "site") -> int:
    """Build the site; the exit status of the generator."""
    prepare(site / "pages")
    settings = (ROOT / "docs" / "zensical.toml").read_text(encoding="utf-8").replace("@WGF@", str(ROOT))
    (site / "zensical.toml").write_text(settings, encoding="utf-8")
    return subprocess.run([sys.executable, "-m", "zensical", "build", "--strict", "--clean"], cwd=site).returncode


if __name__ == "__main__":
    sys.exit(main())
