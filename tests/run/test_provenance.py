"""What provenance.json tells of the program."""

from importlib import metadata

import torch

from wgf.run.provenance import PACKAGES, _version, provenance


def test_versions_are_those_of_the_installed_packages():
    found = provenance(torch.device("cpu"), 0)["versions"]
    assert {name: found[name] for name in PACKAGES} == {name: metadata.version(name) for name in PACKAGES}
    assert _version("no-such-package-as-this") is None
