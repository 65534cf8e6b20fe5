"""Rendering of templates, with values escaped for HTML and Markdown."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from summexp.reports.examples import scores_of
from summexp.reports.texts import clean, excerpt, one_line, passage

_MARKDOWN = re.compile(r"[\\`*_\[\]|~$#]")
_BLOCK_MARK = re.compile(r"^(\d*)([-+=.)])")
"""Characters that start a list or underline a heading in Markdown."""
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def render(template: str, **values: Any) -> str:
    """Fill in a template of `templates/`, by the rules of its kind: `.html.j2` or `.md.j2`.

    Raises:
        jinja2.UndefinedError: the template names a value that is not given.
    """
    return (
        _environment(is_html=template.endswith(".html.j2")).get_template(template).render(**values)
    )


@cache
def _environment(*, is_html: bool) -> jinja2.Environment:
    """Return the rules of a kind of templates, which keep those that were compiled."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("summexp.reports"),
        autoescape=is_html,
        finalize=_shown if is_html else _as_markdown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "code": code_span,
        "fenced": fenced,
        "excerpt": excerpt,
        "passage": passage,
        "quoted": quoted,
        "scores": scores_of,
        "one_line": one_line,
        "count": lambda value: f"{value:,}",
        "coordinate": lambda value: f"{value:.1f}",
    }
    return environment


def escape_markdown(text: str) -> Markup:
    r"""Return one line of Markdown that shows `text` as it is.

    >>> str(escape_markdown("2 * 3 <b>"))
    '2 \\* 3 &lt;b&gt;'
    """
    return Markup(_MARKDOWN.sub(r"\\\g<0>", one_line(text).translate(_ENTITIES)))


def code_span(text: str) -> Markup:
    """Return `text` as code within a line of Markdown, whatever backticks it holds."""
    line = one_line(text)
    ticks = "`" * (_longest_ticks(line) + 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return Markup(f"{ticks}{space}{line}{space}{ticks}")


def fenced(text: str, language: str = "") -> Markup:
    """Return `text` as a code block of Markdown, whatever backticks it holds."""
    ticks = "`" * max(3, _longest_ticks(text) + 1)
    return Markup(f"{ticks}{language}\n{clean(text).rstrip()}\n{ticks}")


def quoted(text: str, label: str) -> Markup:
    r"""Return `text` as a quotation of Markdown that keeps its lines, after a label in bold.

    >>> print(quoted("Mina: 1. tea?\n- no", "Document"))
    > **Document:** Mina: 1. tea?\
    > \- no
    """
    blocks = [
        "\\\n> ".join(_BLOCK_MARK.sub(r"\g<1>\\\g<2>", escape_markdown(line)) for line in lines)
        for block in text.split("\n\n")
        if (lines := block.split("\n"))
    ]
    return Markup(f"> **{label}:** " + "\n>\n> ".join(blocks))


def _longest_ticks(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _shown(value: object) -> object:
    return clean(value) if type(value) is str else value


def _as_markdown(value: object) -> object:
    return value if isinstance(value, Markup) else escape_markdown(str(value))
