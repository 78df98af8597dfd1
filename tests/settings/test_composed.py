"""The configs of the other tests are those that Hydra composes."""

import pytest
from composed_configs import composed, composed_by_hydra
from hydra.errors import ConfigCompositionException

WORDS = [
    ["network.width=7", "potential.center=-0.5", "t_end=1e-2", "hydra.run.dir=x"],
    ["experiment=ornstein_uhlenbeck", "network=two_sided_relu", "network.train=all", "solver.rcond=1e-9"],
    ["potential=expression", "potential.expr='x**4/4 - x^2'", "law=mixture", "law.means=[-1,2]", "device=null"],
    ["network=mlp", "seed=${saves}", "saves=3", "+more=[1,{a:2}]", "~logger"],
]


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words[0])
def test_values_are_set_as_hydra_does(words: list[str]):
    assert composed(*words) == composed_by_hydra(*words)


def test_an_unknown_key_is_refused():
    with pytest.raises(ConfigCompositionException, match="widht"):
        composed("network.widht=4")
