"""What the documents repeat of the code is what the code says."""

from __future__ import annotations

import ast
import configparser
import dataclasses
import re

import pytest
from click import Command, Context, Group

from tests.house import source, tables
from tests.house.source import ROOT
from tests.people import test_database_role as people
from tests.web import test_roles as web
from votepyramid.audit.kinds import KINDS
from votepyramid.cli import COMMANDS, main
from votepyramid.doctor.expected import CLOSER, EXPORTER
from votepyramid.errors import Code
from votepyramid.settings import Settings

DOCS = ROOT / "docs"


@pytest.mark.parametrize(("path", "name", "render"), tables.TABLES)
def test_a_table_is_that_of_the_code(path, name, render) -> None:  # type: ignore[no-untyped-def]
    found = tables.between(name).search(path.read_text(encoding="utf-8"))
    assert found is not None
    assert found[2] == render(), "run: python -m tests.house.tables"


def test_every_code_is_in_the_error_table() -> None:
    text = (DOCS / "errors.md").read_text()
    assert re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE) == [
        str(code) for code in Code
    ]


def _default(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, frozenset):
        return " ".join(sorted(value))
    return str(value)


def test_every_setting_is_documented_with_its_default() -> None:
    text = (DOCS / "configuration.md").read_text()
    rows = re.findall(r"^\| `([a-z0-9_]+)` \| (.*?)\| ", text, re.MULTILINE)
    documented = {name: default.strip().strip("`") for name, default in rows}
    assert len(rows) == len(documented)
    assert documented == {
        field.name: _default(field.default) for field in dataclasses.fields(Settings)
    }


def test_every_kind_of_audit_event_is_written_somewhere() -> None:
    """In code that names it, or by the database itself in a migration."""
    written = {
        node.value
        for path in source.in_packages(".py")
        if not path.match("votepyramid/audit/kinds*.py")
        for node in ast.walk(source.tree(path))
        if isinstance(node, ast.Constant) and node.value in KINDS
    }
    for path in (ROOT / "alembic" / "versions").glob("*.py"):
        written |= set(re.findall(r"'([a-z_]+)'", path.read_text())) & set(KINDS)
    assert written == set(KINDS)


ROLES = [
    ("the application role may", web.GRANTED),
    ("the administrators' role may", people.GRANTED),
    ("the closer's role may", CLOSER),
    ("the exporter's role may", EXPORTER),
]


@pytest.mark.parametrize(("head", "granted"), ROLES)
def test_a_database_role_is_documented_as_it_is(
    head: str, granted: dict[str, set[str]]
) -> None:
    text = (DOCS / "operations.md").read_text().split(f"| {head} |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (`[a-z_`, ]+) \| (read|insert)(.*) \|$", text, re.MULTILINE)
    documented = {
        table: (first + rest, set(re.findall(r"`([a-z_]+)`", rest)))
        for tables_, first, rest in rows
        for table in re.findall(r"`([a-z_]+)`", tables_)
    }
    assert set(documented) == set(granted)
    for table, privileges in granted.items():
        said, columns = documented[table]
        words = {"read": "SELECT", "insert": "INSERT", "delete": "DELETE"}
        for word, privilege in words.items():
            may = any(one.startswith(privilege) for one in privileges)
            assert may == (word in said), (table, word)
        columnwise = {
            found[1]
            for privilege in privileges
            if (found := re.fullmatch(r"(?:SELECT|UPDATE|INSERT) \((\w+)\)", privilege))
        }
        assert columnwise == columns, table


def _subcommands(command: Command, words: list[str]) -> Command:
    for word in words:
        if not isinstance(command, Group):
            break
        found = command.get_command(Context(command), word)
        assert found is not None, " ".join(words)
        command = found
    return command


def test_commands_in_the_documents_exist() -> None:
    """`votepyramid a b --option`: the commands, and the options that are named."""
    used = set()
    for path in source.files(".md"):
        for line in path.read_text(encoding="utf-8").splitlines():
            found = re.search(r"(?:^\s+|^|`)votepyramid ([a-z][^`#]*)", line)
            if found and found[1].split()[0] in COMMANDS:
                used.add(found[1].strip())
    assert len(used) > 15
    for text in used:
        words = re.findall(r"^[a-z]+(?:[ -][a-z]+)*\b", text)[0].split()
        command = _subcommands(main, words[:1])
        if isinstance(command, Group) and len(words) > 1:
            command = _subcommands(command, words[1:2])
        known = {option for p in command.params for option in p.opts}
        for option in re.findall(r"(?<=\s)-{1,2}[a-z][a-z-]*", text):
            assert option in known, text


def test_production_settings_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "production.ini")
    roles = {}
    for section in parser.sections():
        if section.startswith("app:"):
            settings = Settings.load(dict(parser.items(section)))
            assert settings.production
            roles[section] = settings.roles
    assert roles == {
        "app:claim": {"claim"},
        "app:cast": {"cast"},
        "app:main": {"claim", "cast"},
    }


def test_every_decision_is_listed_and_numbered() -> None:
    folder = DOCS / "adr"
    notes = sorted(p.name for p in folder.glob("[0-9]*.md"))
    linked = re.findall(
        r"\]\((\d{4}-[a-z-]+\.md)\)", (folder / "README.md").read_text()
    )
    assert linked == notes
    for number, name in enumerate(notes, 1):
        first = (folder / name).read_text().splitlines()[0]
        assert name.startswith(f"{number:04}-")
        assert first.startswith(f"# {number}. ")
        slug = re.sub(r"[^a-z]+", "-", first.split(". ", 1)[1].lower()).strip("-")
        assert name == f"{number:04}-{slug}.md"
