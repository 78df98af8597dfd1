"""Pages in headless Chromium: each in frames of some widths, asked by a script that acts as a person would."""

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PROGRAM = next((path for name in NAMES if (path := shutil.which(name))), None)
needs_chromium = pytest.mark.skipif(PROGRAM is None, reason=f"needs one of {', '.join(NAMES)}")
HARNESS = """<!DOCTYPE html><body>%s<pre id="answers"></pre><script>
const ask = (document, window) => { %s };
addEventListener("load", () => {
  const frames = [...document.querySelectorAll("iframe")];
  const answers = frames.map((frame) => ask(frame.contentDocument, frame.contentWindow));
  document.getElementById("answers").textContent = JSON.stringify(answers);
});
</script></body>"""


def asked(page: Path, script: str, widths: tuple[int, ...], folder: Path) -> list[Any]:
    """What a script returns in the page, once for each width in pixels; it knows `document` and `window`."""
    content = escape(page.read_text(encoding="utf-8"))
    frames = "".join(f'<iframe srcdoc="{content}" width="{width}" height="900"></iframe>' for width in widths)
    harness = folder / "harness.html"
    harness.write_text(HARNESS % (frames, script), encoding="utf-8")
    command = [str(PROGRAM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += ["--virtual-time-budget=5000", "--dump-dom", harness.as_uri()]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    (answers,) = re.findall(r'<pre id="answers">(.*?)</pre>', found, re.DOTALL)
    assert answers, "the script failed"
    return json.loads(unescape(answers))
