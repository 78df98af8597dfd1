"""Configs as text, against the text that OmegaConf itself writes."""

import pytest
from omegaconf import OmegaConf

from wgf.settings.check import CONFIGS
from wgf.settings.resume import text_of

FILES = sorted(CONFIGS.glob("[!h]*/**/*.yaml"))
WORDS = ["1", "1e-3", "true", "null", "~", "no", "a: b", "'", " x", "x**4/4 - 2*x", "höher", "-", "", "a" * 300, "\n"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_choices_as_omegaconf_writes_them(path):
    content = OmegaConf.load(path)
    content.pop("defaults", None)
    assert text_of(content) == OmegaConf.to_yaml(content, resolve=True)


def test_values_as_omegaconf_writes_them():
    numbers = [1, 1.0, 1e-3, 1e300, -0.0, float("inf"), float("nan"), 0.1 + 0.2, True, None]
    content = OmegaConf.create({"words": WORDS, "numbers": numbers, "none": {}, "empty": [], "in": {"x": [{"y": 1}]}})
    assert text_of(content) == OmegaConf.to_yaml(content, resolve=True)
