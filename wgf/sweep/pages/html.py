"""Elements of a page that needs no other file and no network: its style, script, figures and data are inside."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Any

PAGE, STYLE, SCRIPT = (
    Path(__file__).with_name(f"page.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
)
# a browser runs this script and no other
HASH = "sha256-" + base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
KINDS = {"svg": "image/svg+xml", "gif": "image/gif", "png": "image/png"}


def page(title: str, parts: Iterable[str]) -> str:
    """The page as a document."""
    body = "\n".join(part for part in parts if part)
    return Template(PAGE).substitute(title=escape(title), hash=HASH, style=STYLE, script=SCRIPT, body=body)


def tag(name: str, *inside: str, **attributes: str) -> str:
    """An element around some HTML; `class_` is the attribute class, `aria_label` is aria-label; empty attributes are
    left out."""
    words = (f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items() if value)
    return f"<{name}{''.join(words)}>{''.join(inside)}</{name}>"


def head(title: str, status: str, good: bool, *lines: str) -> str:
    """Title and coloured status; the first line explains the status."""
    mark = tag("span", escape(status), class_=f"status {'good' if good else 'bad'}")
    first, *others = [escape(line) for line in lines if line]
    return "\n".join([tag("h1", escape(title)), tag("p", f"{mark} {first}"), *(tag("p", line) for line in others)])


def warning(text: str) -> str:
    """A line that stands out; empty without a text."""
    return tag("p", escape(text), class_="doubt bad") if text else ""


def section(heading: str, *parts: str) -> str:
    """A heading and its parts; empty without parts."""
    inside = "\n".join(part for part in parts if part)
    return f"{tag('h2', escape(heading))}\n{inside}" if inside else ""


def tiles(numbers: Iterable[tuple[str, str, str]]) -> str:
    """The numbers that matter most: name, number and a note for each."""
    cells = (
        tag("div", tag("dt", escape(name)), tag("dd", tag("strong", escape(value)), tag("small", escape(note))))
        for name, value, note in numbers
        if value
    )
    return tag("dl", *cells, class_="tiles")


def command(words: str, effect: str) -> str:
    """A command, below what it does, with a button that copies it; empty without words."""
    line = tag("div", tag("code", escape(words)), tag("button", "Copy", type="button"), class_="command")
    return tag("p", escape(effect)) + line if words else ""


def figure(content: bytes, kind: str, caption: str) -> str:
    """An embedded picture, which a click shows in full size; names inside an SVG do not clash with those of others.

    Args:
        content: of its file.
        kind: "svg", "gif" or "png".
        caption: what it shows.
    """
    source = f"data:{KINDS[kind]};base64,{base64.b64encode(content).decode()}"
    image = f'<img src="{source}" alt="{escape(caption)}">'
    picture = tag("button", image, type="button", class_="picture", title="full size and back", aria_expanded="false")
    return tag("figure", picture, tag("figcaption", escape(caption)))


def figures(pictures: Iterable[str]) -> str:
    """Pictures side by side, as many as fit."""
    inside = "\n".join(pictures)
    return tag("div", inside, class_="figures") if inside else ""


def data(name: str, content: Any) -> str:
    """Data for the script of the page."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def wide(name: str, table: str) -> str:
    """A table that may be wider than the page: it scrolls, by keyboard too, and a line says so."""
    inside = tag("div", table, class_="wide", role="region", aria_label=name, tabindex="0")
    return inside + tag("p", "scroll sideways for more columns", class_="hint")


def facts(lines: Iterable[tuple[str, str]]) -> str:
    """A table of names and values."""
    rows = [tag("tr", tag("th", escape(name), scope="row"), tag("td", escape(text))) for name, text in lines]
    return tag("table", *rows, class_="facts") if rows else ""


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: what it says.
        value: the number by which its column is sorted, or None.
        link: an address, or "".
        shade: how strong its colour is, from 0 to 1; None without one.
        mark: a word in colour behind the text.
    """

    text: str
    value: float | None = None
    link: str = ""
    shade: float | None = None
    mark: str = ""

    def html(self, side: str) -> str:
        """The element; `side` is its class."""
        inside = tag("a", escape(self.text), href=self.link) if self.link else escape(self.text)
        inside += tag("span", escape(self.mark), class_="mark") if self.mark else ""
        value = "" if self.value is None else repr(float(self.value))
        return tag("td", inside, class_=side, data_value=value, style=_shaded(self.shade))


def _shaded(shade: float | None) -> str:
    return "" if shade is None else f"--of:{shade:.3f}"


def table(name: str, columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Cell]], best: int | None) -> str:
    """A table whose columns sort on a click.

    Args:
        name: what the table is, for screen readers.
        columns: text and longer name of every column.
        rows: the cells of every row.
        best: index of the row to mark, or None.
    """
    sides = [_side([row[k] for row in rows]) for k in range(len(columns))]
    heads = [
        tag("th", tag("button", escape(text), type="button", title=long), scope="col", class_=side)
        for (text, long), side in zip(columns, sides, strict=True)
    ]
    lines = [
        tag("tr", *(c.html(side) for c, side in zip(row, sides, strict=True)), class_="best" if k == best else "")
        for k, row in enumerate(rows)
    ]
    return wide(name, tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *lines), class_="rows"))


def _side(cells: Sequence[Cell]) -> str:
    """Class of a column: numbers stand on the right, long texts may break."""
    if any(cell.value is not None for cell in cells):
        return "number"
    return "words" if any(len(cell.text) > 30 for cell in cells) else ""


def heat(name: str, corner: str, across: Sequence[str], rows: Iterable[tuple[str, Sequence[Cell]]]) -> str:
    """A table of shaded cells over two settings: the values of one on top, of the other on the left."""
    heads = tag("tr", tag("td", escape(corner)), *(tag("th", escape(text), scope="col") for text in across))
    lines = (
        tag("tr", tag("th", escape(text), scope="row"), *(cell.html("number") for cell in cells))
        for text, cells in rows
    )
    return wide(name, tag("table", tag("thead", heads), tag("tbody", *lines), class_="heat"))


def listing(summary: str, text: str) -> str:
    """The text of a file, folded until it is clicked."""
    return folded(summary, tag("pre", escape(text), tabindex="0")) if text else ""


def folded(summary: str, inside: str) -> str:
    """Something that shows on demand; empty if it is empty."""
    return tag("details", tag("summary", escape(summary)), inside) if inside else ""
