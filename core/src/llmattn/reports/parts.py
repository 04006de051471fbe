"""What a report is put together of: each takes text and gives markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llmattn.view.page import escaped, render_page

__all__ = ["bullets", "code", "facts", "folded", "note", "page", "section", "table"]


def page(title: str, about: str, sections: Iterable[str]) -> str:
    """The whole page; ``title`` and ``about`` are text, ``sections`` markup."""
    body = (
        f'<div class="page"><header><div><h1>{escaped(title)}</h1>'
        f'<p class="soft">{escaped(about)}</p></div>'
        '<button type="button" id="theme" hidden>Dark colours</button></header>'
        f'<main class="stack">{"".join(sections)}</main></div>'
    )
    return render_page(title, body, styles=["report.css"], scripts=["theme.js"])


def section(title: str, *parts: str) -> str:
    """A part of the page with its heading; none without content."""
    name = f"s-{'-'.join(title.lower().split())}"
    held = "".join(parts)
    if not held:
        return ""
    return (
        f'<section class="card" aria-labelledby="{escaped(name)}">'
        f'<h2 id="{escaped(name)}">{escaped(title)}</h2>{held}</section>'
    )


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names with their values."""
    rows = (f"<div><dt>{escaped(n)}</dt><dd>{escaped(value)}</dd></div>" for n, value in pairs)
    held = "".join(rows)
    return f'<dl class="facts">{held}</dl>' if held else ""


def table(rows: Sequence[Sequence[str]], caption: str, *, text_columns: int = 1) -> str:
    """Rows, the headings first; after ``text_columns`` the cells are numbers."""
    heads, *others = rows
    if not others:
        return ""

    def cells(row: Sequence[str], tag: str, scope: str) -> str:
        found = []
        for place, cell in enumerate(row):
            kind = ' class="number"' if place >= text_columns else ""
            is_head = tag == "th" or place == 0
            name = "th" if is_head else "td"
            said = f' scope="{scope if tag == "th" else "row"}"' if is_head else ""
            found.append(f"<{name}{kind}{said}>{escaped(cell)}</{name}>")
        return f"<tr>{''.join(found)}</tr>"

    body = "".join(cells(row, "td", "row") for row in others)
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{escaped(caption)}"><table>'
        f'<caption class="soft small">{escaped(caption)}</caption>'
        f"<thead>{cells(heads, 'th', 'col')}</thead><tbody>{body}</tbody></table></div>"
    )


def bullets(sentences: Iterable[str], *, beware: bool = False) -> str:
    """Sentences below each other; ``beware``: what to know before believing the others."""
    kind = ' class="beware"' if beware else ""
    word = "<strong>Beware:</strong> " if beware else ""
    items = "".join(f"<li>{word}{escaped(sentence)}</li>" for sentence in sentences)
    return f"<ul{kind}>{items}</ul>" if items else ""


def note(text: str) -> str:
    """A paragraph that says something of the page."""
    return f'<p class="soft">{escaped(text)}</p>'


def code(text: str) -> str:
    """What is typed."""
    return (
        f'<pre class="scroll" tabindex="0" role="group" aria-label="Command"><code>{escaped(text)}'
        "</code></pre>"
    )


def folded(summary: str, *parts: str) -> str:
    """What is seen when it is wanted."""
    return f"<details><summary>{escaped(summary)}</summary>{''.join(parts)}</details>"
