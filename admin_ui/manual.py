"""The documents of `docs/` as pages: whole, and by the entries that links lead to.

Of an entry's address the last part is its heading as the documents themselves link to
it, so that a link to the runbook is the same in an alert, a document and a page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

# Beside the packages, as the migrations are.
DOCS = Path(__file__).resolve().parents[1] / "docs"
RUNBOOK = "runbook"
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


@dataclass(frozen=True)
class Entry:
    """A document or a part of one. `entries` are the parts of a whole one: anchor,
    title, and how deep it is."""

    document: str
    title: str
    html: Markup
    entries: tuple[tuple[str, str, int], ...] = ()


@cache
def documents() -> tuple[str, ...]:
    """Their names; none where the program was installed without them."""
    return tuple(sorted(path.stem for path in DOCS.glob("*.md")))


@cache
def document(name: str) -> Entry | None:
    """The whole of it; None when there is none of that name."""
    if name not in documents():
        return None
    parts = _parts(name)
    title, level, text = next(iter(parts.values()))
    listed = tuple((a, t, depth - 1) for a, (t, depth, _) in parts.items() if depth > 1)
    return Entry(name, title, _html(name, text, level), listed)


@cache
def entry(name: str, anchor: str) -> Entry | None:
    """What stands under a heading; None when there is no such heading."""
    found = _parts(name).get(anchor) if name in documents() else None
    if found is None:
        return None
    title, level, text = found
    return Entry(name, title, _html(name, text, level))


def slug(title: str) -> str:
    """A heading's anchor, as forges make it."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


@cache
def _parts(name: str) -> dict[str, tuple[str, int, str]]:
    """By anchor: the heading, its level, and the Markdown up to the next such one."""
    text = _COMMENT.sub("", (DOCS / f"{name}.md").read_text(encoding="utf-8"))
    lines = text.splitlines(keepends=True)
    marks: list[tuple[str, int, int, int]] = []
    tokens = _reader().parse(text)
    for token, inline in pairwise(tokens):
        if token.type == "heading_open" and token.map:
            begin, end = token.map
            marks.append((_plain(inline), int(token.tag[1]), begin, end))
    found = {}
    for number, (title, level, _, end) in enumerate(marks):
        following = (
            begin for _, other, begin, _ in marks[number + 1 :] if other <= level
        )
        body = lines[end : next(following, len(lines))]
        found[slug(title)] = (title, level, "".join(body))
    return found


def _html(name: str, text: str, level: int) -> Markup:
    """Headings below the page's own; links to other documents lead to their pages."""
    reader = _reader()
    tokens = reader.parse(text)
    for token, inline in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{int(token.tag[1]) - level + 1}"
            if inline is not None and token.type == "heading_open":
                token.attrSet("id", slug(_plain(inline)))
        _lead(name, token.children or [])
    # The reader lets no HTML through that stands in a document.
    return Markup(reader.renderer.render(tokens, reader.options, {}))


def _lead(name: str, children: list[Token]) -> None:
    dropped = False
    for child in children:
        if child.type == "image":
            # Of these very pages.
            child.type, child.content = "text", ""
        if child.type == "link_open":
            address = _address(name, str(child.attrGet("href")))
            dropped = address is None
            child.attrSet("href", address or "")
        if dropped and child.type in ("link_open", "link_close"):
            dropped = child.type == "link_open"
            child.type, child.tag, child.nesting = "text", "", 0


def _address(name: str, href: str) -> str | None:
    """None for what is no page here."""
    if re.match("https?://", href):
        return href
    path, _, anchor = href.partition("#")
    target = path.removesuffix(".md") if path else name
    if target not in documents():
        return None
    return f"/manual/{target}/{anchor}" if anchor else f"/manual/{target}"


def _plain(inline: Token) -> str:
    return "".join(child.content for child in inline.children or [])


def _table(_: object, tokens: list[Token], index: int, *_more: object) -> str:
    """One that is wider than the window is scrolled, also by the keyboard."""
    number = sum(token.type == "table_open" for token in tokens[: index + 1])
    how = f'tabindex="0" role="region" aria-label="Table {number}"'
    return f'<div class="wide sheet" {how}><table>\n'


@cache
def _reader() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False}).enable("table")
    made.add_render_rule("table_open", _table)
    made.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return made
