"""Pieces of pages: escaped, and numbers on the right."""

from pages import Reader

from wgf.sweep import html as page


def test_what_is_written_is_escaped():
    nasty = "<script>alert('\"&')</script>"
    text = page.page(
        nasty,
        [
            page.head(nasty, nasty, False, nasty),
            page.facts([(nasty, nasty)]),
            page.rows([nasty], [[nasty]], ['"><script>']),
            page.listing(nasty, nasty),
            page.figure(b"", "png", nasty),
        ],
    )
    found = Reader(text)
    assert found.words["h1"] == [nasty]
    assert found.links == ['"><script>']


def test_numbers_stand_on_the_right():
    text = page.rows(["name", "error"], [["a", "1e-3"], ["b", ""]])
    assert text.count('class="number"') == 3
    assert '<td class="number">1e-3</td>' in text
