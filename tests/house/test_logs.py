"""Each log line has one event's name, and each name one meaning."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.house import source
from tests.house.source import ROOT

LEVELS = {"debug", "info", "warning", "error", "critical", "exception", "log"}
LOUD = {"error", "critical"}


@dataclass(frozen=True)
class Line:
    """A call that writes one: where, how loudly, its first argument, its fields."""

    module: str
    number: int
    level: str
    said: ast.expr | None
    fields: frozenset[str | None]

    @property
    def event(self) -> str | None:
        if isinstance(self.said, ast.Constant) and isinstance(self.said.value, str):
            return self.said.value
        return None


def lines() -> Iterator[Line]:
    """Every call of a method of `log`, `logger` or structlog's own."""
    for path in source.in_packages(".py"):
        for node in ast.walk(source.tree(path)):
            if not isinstance(node, ast.Call) or not isinstance(
                node.func, ast.Attribute
            ):
                continue
            whose = ast.unparse(node.func.value)
            if node.func.attr in LEVELS and re.search(
                r"(^|\.)(log|logger|get_logger\(.*\))$", whose
            ):
                level = node.func.attr
                first = node.args[1:] if level == "log" else node.args
                fields = frozenset(keyword.arg for keyword in node.keywords)
                yield Line(
                    source.name(path),
                    node.lineno,
                    level,
                    first[0] if first else None,
                    fields,
                )


def test_every_line_says_a_constant_name() -> None:
    found = list(lines())
    assert len(found) > 60
    unnamed = [
        f"{line.module}:{line.number}"
        for line in found
        if not re.fullmatch(r"[a-z]+(_[a-z]+)*", line.event or "")
    ]
    assert unnamed == []


def test_an_event_is_logged_in_one_module_alone() -> None:
    """Whoever looks for a name, in the log or in the code, finds one thing."""
    modules: dict[str | None, set[str]] = {}
    for line in lines():
        modules.setdefault(line.event, set()).add(line.module)
    assert {event: where for event, where in modules.items() if len(where) > 1} == {}


def test_what_is_loud_is_in_the_documents() -> None:
    text = "".join(
        (ROOT / "docs" / name).read_text(encoding="utf-8")
        for name in ("operations.md", "runbook.md")
    )
    loud = {line.event for line in lines() if line.level in LOUD}
    assert loud
    assert {event for event in loud if f"`{event}`" not in text} == set()


def test_no_line_names_a_voter() -> None:
    for line in lines():
        named = line.fields & {"voter", "token", "bearer", "receipt_hash", "address"}
        assert named == set(), f"{line.module}:{line.number}"
