"""figures/*.png at the end of a run."""

from __future__ import annotations

from wgf.callbacks.base import Callback, Outcome, Run
from wgf.files import replacing


class Figures(Callback):
    """The densities and the maps as pictures of 1200 x 800 pixels."""

    def finish(self, run: Run, outcome: Outcome) -> None:
        for name, picture in outcome.pictures(run).items():
            with replacing(run.folder / "figures" / f"{name}.png") as file:
                file.write(picture)
