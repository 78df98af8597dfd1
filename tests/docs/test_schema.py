"""The schema for editors takes every experiment, and refuses what wgf refuses."""

from pathlib import Path

import pytest
from loaded_scripts import script
from omegaconf import OmegaConf

from wgf.settings.check import CONFIGS

jsonschema = pytest.importorskip("jsonschema", reason="the extra docs brings it")
EXPERIMENTS = sorted((CONFIGS / "experiment").rglob("*.yaml"))
REFUSED = ["t_end: 0", "seed: 1.5", "dtype: float16", "verify: 1", "t_ned: 1", "network: {width: 0}", "law: {scale: 0}"]
REFUSED += ["network: {widht: 8}", "integrator: {rtol: -1}", "pde: {m: fast}", "figures: null", "domain: {length: []}"]


@pytest.fixture(scope="module")
def schema():
    return jsonschema.Draft202012Validator(script("schema").schema())


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_obeys(schema, path: Path):
    schema.validate(OmegaConf.to_container(OmegaConf.load(path)))


@pytest.mark.parametrize("text", REFUSED)
def test_a_fault_is_seen(schema, text: str):
    assert not schema.is_valid(OmegaConf.to_container(OmegaConf.create(text)))


def test_what_is_open_stays_open(schema):
    for text in ("t_end: ${saves}", "potential: {expr: a*x, a: 1}", "network: {width: auto}", "threads: null"):
        schema.validate(OmegaConf.to_container(OmegaConf.create(text), resolve=False))
