"""One composition for jobs that differ in values, against Hydra's own composition of every job."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from omegaconf.errors import GrammarParseError

import wgf.cli  # registers a resolver  # noqa: F401
from wgf.settings.check import CONFIGS
from wgf.sweep.composer import Composer, of_job

JOBS = [
    ["pde.diffusion=0.5", "network.width=8"],
    ["pde.diffusion=1e-3", "network.width=16"],
    ["pde=porous_medium", "t_end=0.1"],
    ["pde.diffusion=2", "network.width=8", "t_end=1"],
    ["pde=porous_medium", "t_end=0.2"],
    ["pde.diffusion=3", "network.width=4"],
    ["network.width=5", "pde.diffusion=3"],
    ["potential=expression", "potential.expr='x**2'"],
    ["potential=expression", "potential.expr='x**4 + 1'"],
    ["observe=[x]", "t_end=2"],
    ["observe=[x**2]", "t_end=2"],
    ["+law.new=1"],
    ["t_end=1", "t_end=2"],
    ["t_end=3", "t_end=2"],
    ["seed=1", "seed=null"],
    ["seed=2", "seed=null"],
    ["t_end=1", "++t_end=2"],
    ["t_end=3", "++t_end=2"],
    ["network.width=10", "network={width:20}"],
    ["network.width=12", "network={width:20}"],
    ["hydra.sweep.subdir=a", "t_end=1"],
    ["hydra.sweep.subdir=b", "t_end=2"],
    ["hydra.sweep.subdir=w${hydra.job.num}", "t_end=1"],
    ["hydra.sweep.subdir=w${hydra.job.num}", "t_end=2"],
]


def test_jobs_are_composed_as_hydra_composes_them():
    loads = []

    def load(words: list[str]):
        loads.append(words)
        return compose("config", words, return_hydra_config=True)

    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        composer = Composer(load)
        for words in JOBS:
            (ours, job), theirs = composer(words), compose("config", words, return_hydra_config=True)
            assert OmegaConf.to_yaml(job) == OmegaConf.to_yaml(of_job(theirs)), words
            ours, theirs = (OmegaConf.to_container(config, resolve=False) for config in (ours, theirs))
            assert ours == theirs, words
    assert len(loads) == len(JOBS) - 8


def test_a_job_that_cannot_be_composed_leaves_nothing_behind():
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        composer = Composer(lambda words: compose("config", words, return_hydra_config=True))
        composer(["seed=1", "t_end=1"])
        with pytest.raises(GrammarParseError):
            composer(["seed=2", "t_end='${foo'"])
        job = composer(["seed=1", "t_end=5"]).job
    assert (job.seed, job.t_end) == (1, 5)
