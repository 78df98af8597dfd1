"""Tables of cases as text, for parametrize: one case per line, its cells separated by `->`."""


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("->")] for line in text.splitlines() if line.strip()]
