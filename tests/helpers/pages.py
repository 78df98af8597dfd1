"""HTML pages, read strictly."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "input"}


class Reader(HTMLParser):
    """What is on a page; a tag that is not closed, or closed twice, is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.links: list[str] = []
        self.words: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        assert tag not in ("link", "iframe")
        assert not [name for name in known if name.startswith("on")]  # scripts stand in one place
        assert tag != "script" or "src" not in known
        if tag == "img":
            assert known["alt"]
            self.sources.append(str(known["src"]))
        if tag == "a":
            self.links.append(str(known["href"]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.words.setdefault(self.open[-1], []).append(data.strip())
