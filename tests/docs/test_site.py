"""The pages made by scripts (gallery, notebook, documentation site) are up to date and whole."""

import json
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from composed_configs import composed
from loaded_scripts import script

import wgf
from wgf.settings.check import check

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_the_gallery_is_up_to_date():
    gallery = script("gallery")
    assert (DOCS / "gallery.md").read_text(encoding="utf-8") == gallery.page(), "run python scripts/gallery.py"
    assert {path.stem for path in gallery.PICTURES.glob("*.png")} == set(gallery.GALLERY)


@pytest.mark.parametrize("name", script("gallery").GALLERY)
def test_a_command_of_the_gallery_is_allowed(name: str):
    check(composed(*shlex.split(script("gallery").GALLERY[name].overrides)))


def test_every_screenshot_is_shown_and_small():
    pictures = script("screenshots").PICTURES
    shown = re.findall(r"\]\(images/views/([\w-]+)\.png\)", (DOCS / "views.md").read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(path.stem for path in pictures.glob("*.png"))
    assert max(path.stat().st_size for path in pictures.glob("*.png")) < 150_000


def test_what_a_terminal_shows_after_moves_of_the_cursor():
    screen = script("screenshots").screen
    assert screen("one\r\ntwo\r\n") == "one\ntwo\n"
    assert screen("10%\r20%\r\ndone") == "20%\ndone"
    assert screen("a\r\nb\r\n\x1b[2A\x1b[2KA\r\n\x1b[2KB") == "A\nB\n"
    assert screen("\x1b[32mgreen\x1b[0m\x1b[?25l") == "\x1b[32mgreen\x1b[0m"


def test_the_notebook_has_the_cells_of_the_tutorial():
    """The cells of docs/tutorial.py in the percent format of jupytext, each with what it printed or drew."""
    cells = json.loads((DOCS / "tutorial.ipynb").read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]).strip() for cell in cells if cell["cell_type"] == "code"]
    blocks = re.split(r"^# %%(.*)\n", (DOCS / "tutorial.py").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    shown = [text.strip() for kind, text in zip(blocks[::2], blocks[1::2], strict=True) if "markdown" not in kind]
    assert code == shown, "run python scripts/notebook.py"
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2
    assert not [output for output in outputs if output["output_type"] == "error"]


def test_the_page_of_the_python_interface_names_everything():
    listed = re.findall(r"^::: wgf\.(?:.*\.)?(\w+)$", script("site").api_page(), re.MULTILINE)
    assert sorted(listed) == sorted(wgf._HOME)


def dead(html: Path) -> Iterator[str]:
    """The links between the files of a site that lead nowhere; the generator looks at pages only."""
    for page in html.rglob("*.html"):
        for link in re.findall(r"""\b(?:href|src)=["']?([^"' >]+)""", page.read_text(encoding="utf-8")):
            address = urlsplit(unescape(link))
            base = html if address.path.startswith("/") else page.parent
            target = base / unquote(address.path).lstrip("/")
            if not (address.scheme or address.netloc or target.is_file() or (target / "index.html").is_file()):
                yield f"{page.relative_to(html)} links to {link}"


def test_the_site_is_built_without_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("zensical", reason="the site needs the extra docs")
    monkeypatch.setitem(os.environ, "PYTHONWARNINGS", "ignore")  # of the generator
    assert script("site").main(tmp_path) == 0
    html = tmp_path / "html"
    assert 'id="wgf.api.solve"' in (html / "api" / "index.html").read_text(encoding="utf-8")
    assert (html / "gallery" / "index.html").exists()
    pages = [json.dumps(item) for item in json.loads((html / "search.json").read_text(encoding="utf-8"))["items"]]
    assert any("Keller-Segel" in page for page in pages)
    assert not list(dead(html))
    menu = tomllib.loads((DOCS / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    entries = [
        page
        for section in menu
        for value in section.values()
        for page in ([value] if isinstance(value, str) else value)
    ]
    assert sorted(entries) == sorted(path.name for path in (tmp_path / "pages").glob("*.md"))
