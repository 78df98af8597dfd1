"""The code of docs/gradients.md runs, and what it asserts holds."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "gradients.md"


def test_the_uses():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert sum("assert" in block for block in blocks) == 4
    scope: dict = {}
    for block in blocks:
        exec(block, scope)
