"""Writes figures/*.png at the end of a run."""

from __future__ import annotations

from wgf import files
from wgf.run.callbacks.base import Callback, Outcome, Run


class Figures(Callback):
    """Writes the figures of densities and maps, 1200 x 800 pixels each."""

    def finish(self, run: Run, outcome: Outcome) -> None:
        for name, picture in outcome.pictures(run).items():
            files.write(run.folder / "figures" / f"{name}.png", picture)
