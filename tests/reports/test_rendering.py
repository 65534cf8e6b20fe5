import jinja2
import pytest
from markdown_it import MarkdownIt

from summexp.reports.rendering import code_span, escape_markdown, fenced, quoted, render

HARD = "<script>x</script> & &amp; *a* _b_ `c` [d](e) |f| ~~g~~ $h$ # i \\ 한국어"


def test_escaped_markdown_shows_the_text_as_it_is() -> None:
    html = MarkdownIt("js-default").render(f"> **P:** {escape_markdown(HARD)}")
    shown = html.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert f"<strong>P:</strong> {HARD}</p>" in shown
    assert "<script" not in html


@pytest.mark.parametrize("text", ["plain", "`tick`", "a ``b`` c", "<b>"])
def test_code_shows_the_text_as_it_is(text: str) -> None:
    (inline,) = [t for t in MarkdownIt().parse(str(code_span(text))) if t.type == "inline"]
    assert inline.children is not None
    assert [(token.type, token.content) for token in inline.children] == [("code_inline", text)]


def test_a_fence_is_longer_than_what_it_holds() -> None:
    text = "a: |\n  ```\n  ````\n  b"
    (block,) = MarkdownIt().parse(str(fenced(text, "yaml")))
    assert (block.type, block.info, block.content) == ("fence", "yaml", text + "\n")


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        render("report.html.j2", title="only this")


def test_a_quotation_keeps_lines_and_is_nothing_but_text() -> None:
    lines = ["A: hi", "- no list", "1. no list", "+ nor this", "# no head", "===", "> no quote"]
    html = MarkdownIt("js-default").render(str(quoted("\n".join(lines) + "\n\nlast", "Document")))
    first, last = html.split("</p>")[:2]
    shown = first.replace("&gt;", ">").split("<p>")[1].replace("\n", "")
    assert shown.split("<br>") == [f"<strong>Document:</strong> {lines[0]}", *lines[1:]]
    assert last.strip() == "<p>last"
    assert html.count("<blockquote>") == 1
