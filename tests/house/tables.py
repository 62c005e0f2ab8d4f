"""The tables in docs/ that repeat what the code says, made from the code.

`python -m tests.house.tables` writes them into the documents; a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY

from tests.house.source import ROOT
from tests.web import document
from votepyramid.audit.kinds import KINDS
from votepyramid.audit.kinds_by_role import APPENDED_BY
from votepyramid.engine import metrics as _engine_metrics  # noqa: F401 - registers
from votepyramid.errors import PROBLEMS, Code
from votepyramid.keys import measured as _kms_metrics  # noqa: F401 - registers
from votepyramid.logs import metrics as _log_metrics  # noqa: F401 - registers
from votepyramid.observing import exposition as _processes  # noqa: F401 - registers
from votepyramid.observing import pools as _pools  # noqa: F401 - registers
from votepyramid.people import metrics as _people_metrics  # noqa: F401 - registers
from votepyramid.web import limits as _limits  # noqa: F401 - registers
from votepyramid.web import tweens as _web_metrics  # noqa: F401 - registers

EVERYWHERE = {
    Code.METHOD_NOT_ALLOWED: "every address",
    Code.INTERNAL: "every address",
    Code.FORBIDDEN: "the codec server",
}


def errors() -> str:
    """Code, status, title, what to do, and which operations give it."""
    given: dict[str, list[str]] = {}
    for _, _, operation in document.operations():
        for response in operation["responses"].values():
            for code in document.codes(response):
                given.setdefault(code, []).append(f"`{operation['operationId']}`")
    rows = [
        (
            f"`{code}`",
            str(problem.status),
            problem.title,
            problem.advice,
            EVERYWHERE.get(code) or ", ".join(given[code]),
        )
        for code, problem in PROBLEMS.items()
    ]
    return _table(("code", "status", "title", "what to do", "given by"), rows)


def metrics() -> str:
    """Every metric of ours: name, kind, labels, meaning."""
    rows = []
    collectors: set[Any] = set(REGISTRY._names_to_collectors.values())
    for collector in sorted(collectors, key=lambda c: str(getattr(c, "_name", ""))):
        name = getattr(collector, "_name", "")
        if not name.startswith("votepyramid_"):
            continue
        kind = type(collector).__name__.lower()
        shown = f"{name}_total" if kind == "counter" else name
        labels = ", ".join(f"`{label}`" for label in collector._labelnames)
        rows.append((f"`{shown}`", kind, labels, collector._documentation))
    return _table(("metric", "kind", "labels", "meaning"), rows)


def audit_events() -> str:
    """Every kind of audit event: when, what its subject is, what its detail has."""
    rows = [
        (
            f"`{kind.name}`",
            kind.when,
            kind.subject,
            ", ".join(f"`{name}`" for name in sorted(kind.members)),
        )
        for kind in KINDS.values()
    ]
    return _table(("kind", "when", "subject", "detail"), rows)


def appended_by() -> str:
    """Which kinds of audit events each database role may append."""
    others = frozenset[str]().union(*APPENDED_BY.values())
    listed = {
        **{role: _in_order(kinds) for role, kinds in APPENDED_BY.items()},
        "sequencer": "none",
        "owner": f"every kind, and alone {_in_order(KINDS.keys() - others)}",
    }
    return _table(("role", "appends"), [*listed.items()])


def _in_order(kinds: Collection[str]) -> str:
    return ", ".join(f"`{name}`" for name in KINDS if name in kinds)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


TABLES: list[tuple[Path, str, Callable[[], str]]] = [
    (ROOT / "docs" / "errors.md", "errors", errors),
    (ROOT / "docs" / "operations.md", "metrics", metrics),
    (ROOT / "docs" / "operations.md", "audit-events", audit_events),
    (ROOT / "docs" / "operations.md", "appended-by", appended_by),
]


def between(name: str) -> re.Pattern[str]:
    """The marks around a table, and the table."""
    return re.compile(
        rf"(<!-- table: {name} -->\n)(.*?)(\n<!-- end of table -->)", re.DOTALL
    )


def main() -> None:
    for path, name, render in TABLES:
        text = path.read_text(encoding="utf-8")
        found = between(name).search(text)
        if found is None:
            raise SystemExit(f"{path} has no place for the table {name!r}")
        made = text[: found.start(2)] + render() + text[found.end(2) :]
        path.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
