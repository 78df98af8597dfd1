"""Eight flows, one picture and one command each: `python scripts/gallery.py` makes docs/gallery.md and its pictures.

    python scripts/gallery.py            # all, about a minute
    python scripts/gallery.py swarm      # some, by name

Each command of the page runs by itself. Its folder RUN gives the picture: wgf.load("RUN").plot(NAME).
"""

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import wgf

DOCS = Path(__file__).parents[1] / "docs"
PICTURES = DOCS / "images" / "gallery"


class Entry(NamedTuple):
    """One flow of the gallery: what it shows, its overrides, and the figure shown."""

    title: str
    text: str
    overrides: str
    figure: str = "density"
    stops: bool = False  # the flow ends before its end time


GALLERY = {
    "transport": Entry(
        "Linear transport",
        "Particles fall down the double well about 1; nothing spreads them. The exact map is known by characteristics.",
        "experiment=transport_quartic",
    ),
    "fokker_planck": Entry(
        "Fokker-Planck",
        "The same well with diffusion: the law approaches the Gibbs law.",
        "experiment=fokker_planck_quartic",
    ),
    "porous_medium": Entry(
        "Porous medium",
        "The source solution of Barenblatt spreads and keeps its shape and its edges.",
        "experiment=porous_medium_barenblatt",
    ),
    "keller_segel": Entry(
        "Keller-Segel below the critical mass",
        "Diffusion wins against attraction: the second moment grows as 1 + 2 (D - chi) t.",
        "experiment=keller_segel_subcritical t_end=2",
    ),
    "blow_up": Entry(
        "Keller-Segel blow-up",
        "Attraction wins: the mass gathers in one point, and the run stops there with status `blow_up`.",
        "experiment=keller_segel_blow_up",
        "ridgeline",
        stops=True,
    ),
    "escape": Entry(
        "Escape from a well",
        "Weak diffusion in a symmetric double well, from the left valley: half of the mass climbs over the barrier.",
        "potential=expression 'potential.expr=\"(x**2-1)**2\"' pde.diffusion=0.4 law.mean=-1 law.std=0.3 t_end=8",
        "spacetime",
    ),
    "swarm": Entry(
        "Swarm",
        "Attraction at long range, repulsion at short range and weak porous medium diffusion: two clusters form.",
        "experiment=aggregation",
        "ridgeline",
    ),
    "semicircle": Entry(
        "Semicircle",
        "Logarithmic repulsion in a quadratic well: eigenvalues of random matrices relax to Wigner's semicircle law.",
        "pde=aggregation_diffusion pde.diffusion=0 interaction=log interaction.strength=-1 potential=quadratic "
        "law=uniform law.low=-1 law.high=1 t_end=2",
    ),
}


PREFACE = """Each command runs by itself, in seconds, and prints the folder RUN of its results. The Python line below a
picture draws it. `python scripts/gallery.py` makes this page and its pictures."""


def page() -> str:
    """docs/gallery.md."""
    parts = ["# Gallery", PREFACE]
    for name, entry in GALLERY.items():
        parts += [f"## {entry.title}", entry.text, f"    wgf {entry.overrides}"]
        parts += [f"![{entry.title}](images/gallery/{name}.png)", f'`wgf.load("RUN").plot("{entry.figure}")`']
    return "\n\n".join(parts) + "\n"


def picture(name: str) -> None:
    """Run the command of an entry and keep its figure."""
    entry = GALLERY[name]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "wgf.cli", "logger=none", "figures=false", f"hydra.run.dir={folder}/run"]
        subprocess.run([*command, *shlex.split(entry.overrides)], check=not entry.stops, cwd=folder)
        PICTURES.mkdir(parents=True, exist_ok=True)
        flow = wgf.load(Path(folder) / "run")
        flow.plot(entry.figure).savefig(PICTURES / f"{name}.png", dpi=110)


if __name__ == "__main__":
    for name in sys.argv[1:] or GALLERY:
        picture(name)
    (DOCS / "gallery.md").write_text(page(), encoding="utf-8")
