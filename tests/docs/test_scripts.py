"""Every script starts: what it imports is there."""

from pathlib import Path

import pytest
from loaded_scripts import script

SCRIPTS = sorted(path.stem for path in (Path(__file__).parents[2] / "scripts").glob("*.py"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_can_be_imported(name: str):
    assert script(name).__doc__
