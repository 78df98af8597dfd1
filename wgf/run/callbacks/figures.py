"""figures/*.png at the end of a run."""

from __future__ import annotations

from wgf import files
from wgf.run.callbacks.base import Callback, Outcome, Run


class Figures(Callback):
    """The densities and the maps as pictures of 1200 x 800 pixels."""

    def finish(self, run: Run, outcome: Outcome) -> None:
        for name, picture in outcome.pictures(run).items():
            files.write(run.folder / "figures" / f"{name}.png", picture)
