"""Parts of an HTML page that needs no other file: figures are embedded; there are no scripts, style sheets or fonts."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template

from wgf.settings.flat import number

PAGE = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
KINDS = {"svg": "image/svg+xml", "gif": "image/gif", "png": "image/png"}


def page(title: str, parts: Iterable[str]) -> str:
    """The page as a document."""
    return PAGE.substitute(title=escape(title), body="\n".join(parts))


def tag(name: str, *inside: str, **attributes: str) -> str:
    """An element around some HTML; `class_` is the attribute class, and empty attributes are left out."""
    words = (f' {key.rstrip("_")}="{escape(value)}"' for key, value in attributes.items() if value)
    return f"<{name}{''.join(words)}>{''.join(inside)}</{name}>"


def head(title: str, status: str, good: bool, *lines: str) -> str:
    """Title and coloured status; the first line explains the status."""
    mark = tag("span", escape(status), class_=f"status {'good' if good else 'bad'}")
    first, *others = [escape(line) for line in lines if line]
    return "\n".join([tag("h1", escape(title)), tag("p", f"{mark} {first}"), *(tag("p", line) for line in others)])


def section(heading: str, *parts: str) -> str:
    """A heading and its parts; empty without parts."""
    inside = "\n".join(part for part in parts if part)
    return f"{tag('h2', escape(heading))}\n{inside}" if inside else ""


def figure(content: bytes, kind: str, caption: str) -> str:
    """An embedded picture, kind "svg", "gif" or "png"; names inside an SVG do not clash with those of others."""
    source = f"data:{KINDS[kind]};base64,{base64.b64encode(content).decode()}"
    return tag("figure", f'<img src="{source}" alt="{escape(caption)}">', tag("figcaption", escape(caption)))


def figures(pictures: Iterable[str]) -> str:
    """Pictures side by side, as many as fit."""
    inside = "\n".join(pictures)
    return tag("div", inside, class_="figures") if inside else ""


def facts(lines: Iterable[tuple[str, str]]) -> str:
    """A table of names and values."""
    rows = [tag("tr", tag("th", escape(name), scope="row"), tag("td", escape(text))) for name, text in lines]
    return tag("div", tag("table", *rows, class_="facts"), class_="wide") if rows else ""


def rows(columns: Sequence[str], cells: Iterable[Sequence[str]], links: Sequence[str] = ()) -> str:
    """A table with a row for each job; columns of numbers are aligned to the right.

    Args:
        columns: the heads of the table.
        cells: the texts of each row.
        links: the address to which the first cell of each row leads, or "".
    """
    table = [list(row) for row in cells]
    sides = ["number" if all(_is_number(row[k]) for row in table) else "" for k in range(len(columns))]
    body = [[escape(cell) for cell in row] for row in table]
    for row, link in zip(body, links, strict=False):
        row[0] = tag("a", row[0], href=link) if link else row[0]
    heads = (tag("th", escape(name), class_=side) for name, side in zip(columns, sides, strict=True))
    lines = [tag("tr", *(tag("td", cell, class_=side) for cell, side in zip(row, sides, strict=True))) for row in body]
    return tag("div", tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *lines), class_="rows"), class_="wide")


def listing(summary: str, text: str) -> str:
    """The text of a file, folded until it is clicked."""
    return tag("details", tag("summary", escape(summary)), tag("pre", escape(text))) if text else ""


def _is_number(text: str) -> bool:
    return not text or number(text.replace(",", "").rstrip("*")) is not None  # a number may have a mark
