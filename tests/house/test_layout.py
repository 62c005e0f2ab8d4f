"""Rules of the house that no linter of ours checks."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest

from tests.house import source
from tests.house.source import ROOT, files, in_packages, name

LINES_OF_A_FILE = 400
LINES_OF_A_FUNCTION = 40
# One list of steps that reads better in one piece than in three.
LONGER_FUNCTIONS: set[str] = {"votepyramid/web/services.py: make_services"}


def test_every_init_is_empty() -> None:
    inits = [path for path in files(".py") if path.name == "__init__.py"]
    assert len(inits) > 20
    assert [name(path) for path in inits if path.read_bytes()] == []


def test_every_folder_of_modules_is_a_package_but_the_migrations() -> None:
    for path in files(".py"):
        top = name(path).split("/")[0]
        if top in (*source.PACKAGES, "tests"):
            assert (path.parent / "__init__.py").is_file(), name(path)
    assert list((ROOT / "alembic").rglob("__init__.py")) == []


def test_alembic_is_the_library() -> None:
    spec = importlib.util.find_spec("alembic.command")
    assert spec is not None and spec.origin is not None
    assert "site-packages" in Path(spec.origin).parts


@pytest.mark.parametrize("package", source.PACKAGES)
def test_top_level_packages_are_ours(package: str) -> None:
    # Common words: another distribution may install a package of the same name.
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None
    assert Path(spec.origin).parent == ROOT / package


def test_includeme_lives_in_routes() -> None:
    found = {
        name(path)
        for path in in_packages(".py")
        for function in source.functions(path)
        if function.name == "includeme"
    }
    assert found
    assert [path for path in found if not path.endswith("/routes.py")] == []


def test_files_have_one_screenful_of_subject() -> None:
    long = {
        name(path): lines
        for path in files(".py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines()))
        > LINES_OF_A_FILE
    }
    assert long == {}


def test_functions_fit_a_screen() -> None:
    long = {
        f"{name(path)}: {function.name}"
        for path in in_packages(".py")
        for function in source.functions(path)
        if source.body_lines(function) > LINES_OF_A_FUNCTION
    }
    assert long == LONGER_FUNCTIONS


def test_modules_say_what_they_are() -> None:
    silent = [
        name(path)
        for path in in_packages(".py")
        if path.name != "__init__.py" and ast.get_docstring(source.tree(path)) is None
    ]
    assert silent == []


def _temporal_definitions() -> list[tuple[str, ast.Call | ast.expr]]:
    """Every `@workflow.defn` and `@activity.defn`, with the name of what it is on."""
    found = []
    for path in in_packages(".py"):
        for node in ast.walk(source.tree(path)):
            if not isinstance(
                node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
            ):
                continue
            for decorator in node.decorator_list:
                called = (
                    decorator.func if isinstance(decorator, ast.Call) else decorator
                )
                if ast.unparse(called) in ("workflow.defn", "activity.defn"):
                    found.append((f"{name(path)}: {node.name}", decorator))
    return found


def test_every_temporal_type_has_an_explicit_name() -> None:
    # A type named after its class or function could not be renamed or moved without
    # breaking the replay of running elections.
    found = _temporal_definitions()
    assert len(found) >= 9
    unnamed = [
        where
        for where, decorator in found
        if not (
            isinstance(decorator, ast.Call)
            and any(keyword.arg == "name" for keyword in decorator.keywords)
        )
    ]
    assert unnamed == []


def test_what_a_newcomer_looks_for_is_there() -> None:
    for wanted in ("README.md", "LICENSE", "CHANGELOG.md", "docs/openapi.yaml"):
        assert (ROOT / wanted).stat().st_size > 100, wanted
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License" in licence and "Version 2.0" in licence
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert changes.startswith("# Changelog")
    assert "## [Unreleased]" in changes


# Open ends belong into a list of work, paths of one machine nowhere.
OPEN_END = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
ONE_MACHINE = re.compile(r"(?<![\w./-])/(home|Users|work|mnt)/[a-z]")
LEFTOVERS = re.compile(r"\b(breakpoint|pdb\.set_trace)\(")


def test_nothing_was_left_lying_about() -> None:
    found = []
    for path in files(".py", ".md", ".yaml", ".toml", ".ini", ".cedar", "Makefile"):
        text = path.read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), 1):
            for pattern in (OPEN_END, ONE_MACHINE, LEFTOVERS):
                if pattern.search(line):
                    found.append(f"{name(path)}:{number}: {line.strip()}")
    assert found == []


def test_nothing_prints_but_commands() -> None:
    found = [
        f"{name(path)}:{node.lineno}"
        for path in in_packages(".py")
        for node in ast.walk(source.tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert found == []


def test_local_links_of_the_documents_lead_somewhere() -> None:
    link = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")
    broken = []
    for path in files(".md"):
        for target, _ in link.findall(path.read_text(encoding="utf-8")):
            if not (path.parent / target).exists():
                broken.append(f"{name(path)} -> {target}")
    assert broken == []
