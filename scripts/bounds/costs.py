"""What bounds cost: the CPU time that they add to a run, relative to the run without any."""

from __future__ import annotations

import time
from collections.abc import Iterator

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from wgf.certificates.own_bound import OwnBound
from wgf.certificates.rich import Both, rich_run
from wgf.certificates.rich_settings import Unknown
from wgf.integrators.saved_states import SavedStates
from wgf.integrators.status import Status
from wgf.run.build import build
from wgf.settings.check import CONFIGS

REPEATS = 3  # the least time counts
RUNS = {
    "wgf": "",
    "paper_default": "experiment=paper_default",
    "network=two_sided_relu": "network=two_sided_relu",
    "fokker_planck_sextic": "experiment=fokker_planck_sextic",
    "ornstein_uhlenbeck": "experiment=ornstein_uhlenbeck",
    "porous_medium_gaussian": "experiment=porous_medium_gaussian",
    "porous_medium_barenblatt": "experiment=porous_medium_barenblatt",
    "transport_quartic": "experiment=transport_quartic",
    "transport_sextic": "experiment=transport_sextic",
    "keller_segel_subcritical": "experiment=keller_segel_subcritical",
    "aggregation": "experiment=aggregation",
    "all_parameters": "experiment=all_parameters",
    "law=mixture": "law=mixture",
    "law=uniform": "law=uniform",
    "t_end=5, in a double well": "t_end=5",
    "pde=porous_medium pde.exponent=3, in a double well": "pde=porous_medium potential=quartic pde.exponent=3",
    "wgf saves=1": "saves=1",
    "porous_medium_gaussian saves=1": "experiment=porous_medium_gaussian saves=1",
    "keller_segel_subcritical saves=1": "experiment=keller_segel_subcritical saves=1",
}


def config(words: str) -> DictConfig:
    """The config of some words of the command, without logger and figures."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose("config", ["logger=none", "figures=false", *words.split()])


def seconds(cfg: DictConfig) -> tuple[float, float, float] | None:
    """CPU times (s) of the run, of the run with its own bound, and of the rich run; None if it does not complete."""
    experiment = build(cfg)
    begin = time.process_time()
    end = experiment.run(experiment.theta, SavedStates(experiment.map))
    alone = time.process_time() - begin
    if end.status is not Status.completed:
        return None
    experiment = build(cfg)
    begin = time.process_time()
    both = Both(SavedStates(experiment.map), OwnBound(experiment.projection))
    experiment.run(experiment.theta, both)
    times = both.states.times
    own = [both.recorder.at(t).value for t in times]
    middle = time.process_time()
    try:
        rich = rich_run(experiment.projection, experiment.integrator, times[1:], own[-1], both.states)
    except Unknown:
        rich = None
    if rich is not None:
        for k, t in enumerate(times):
            rich.bound(t), rich.distance(t, *both.states[k])
    return alone, middle - begin, time.process_time() - middle


def table() -> Iterator[str]:
    """Lines of the table."""
    yield "| run | CPU, s | own bound | rich run | both |"
    yield "|---|---|---|---|---|"
    for name, words in RUNS.items():
        found = [each for _ in range(REPEATS) if (each := seconds(config(words))) is not None]
        alone, with_own, rich = (min(each[k] for each in found) for k in range(3))
        own = max(with_own - alone, 0.0)
        cells = (f"{x / alone:.1f}" for x in (own, rich, own + rich))
        yield f"| {name} | {alone:.2f} | {' | '.join(cells)} |"
