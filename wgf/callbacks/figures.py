"""figures/*.png at the end of a run."""

from __future__ import annotations

from wgf.callbacks.base import Callback, Outcome, Run


class Figures(Callback):
    """The densities and the maps as pictures."""

    def finish(self, run: Run, outcome: Outcome) -> None:
        if outcome.solution is None:
            return
        from wgf.report import save_figures  # matplotlib: only for who asks for it

        save_figures(outcome.solution, run.folder, run.title)
