"""Who may import whom: the contracts of pyproject.toml, and the exact lists."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from tests.house import source

# What each room may import from outside the standard library, and from us.
EXACTLY = {
    "votepyramid.protocol": {"votepyramid.protocol", "cryptography", "rfc8785"},
    "votepyramid.client": {
        "votepyramid.client",
        "votepyramid.protocol",
        "click",
        "httpx2",
    },
    "workflows": {"workflows", "temporalio"},
    "activities": {"activities", "workflows.messages", "votepyramid", "temporalio"}
    | {"sqlalchemy", "structlog"},
    "votepyramid.errors": set(),
    "votepyramid.settings": set(),
}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(
        *source.PACKAGES, include_external_packages=True, cache_dir=None
    )


def imports_of(graph: grimp.ImportGraph, room: str) -> set[tuple[str, str]]:
    """(importer, imported) for everything in a room, standard library left out."""
    return {
        (module, imported)
        for module in graph.modules
        if within(module, {room})
        for imported in graph.find_modules_directly_imported_by(module)
        if imported.split(".")[0] not in sys.stdlib_module_names
    }


def within(module: str, rooms: set[str]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def test_the_contracts_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run(
        [lint, "--no-cache"],
        check=False,
        cwd=source.ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "0 broken" in ran.stdout


@pytest.mark.parametrize("room", sorted(EXACTLY))
def test_a_room_imports_exactly_what_its_list_says(
    graph: grimp.ImportGraph, room: str
) -> None:
    found = imports_of(graph, room)
    assert found or not EXACTLY[room]
    strangers = sorted((a, b) for a, b in found if not within(b, EXACTLY[room]))
    assert strangers == []
    # A list longer than the need would let something in unseen.
    unused = {e for e in EXACTLY[room] if not any(within(b, {e}) for _, b in found)}
    assert unused == set()


# What says how workflows are started and found, and not what they do.
SAID = {"workflows.attributes", "workflows.messages"}


def test_only_the_worker_imports_more_of_workflows_than_their_messages(
    graph: grimp.ImportGraph,
) -> None:
    outside = {
        (importer, imported)
        for imported in graph.modules
        if within(imported, {"workflows"}) and imported not in SAID
        for importer in graph.find_modules_that_directly_import(imported)
        if not within(importer, {"workflows"})
    }
    # An auditor replays exported histories through the same code.
    assert {importer for importer, _ in outside} == {
        "votepyramid.engine.worker",
        "votepyramid.engine.replaying",
    }


def test_a_workflow_imports_messages_and_steps_alone(
    graph: grimp.ImportGraph,
) -> None:
    for module in (
        "workflows.claim_tokens",
        "workflows.close_election",
        "workflows.export_election",
        "workflows.rewrap_keys",
        "workflows.submit_votes",
    ):
        own = {b for _, b in imports_of(graph, module) if within(b, {"workflows"})}
        assert own == {"workflows.messages", "workflows.steps"}
    assert not {b for _, b in imports_of(graph, "workflows.messages")}
    assert {b for _, b in imports_of(graph, "workflows.attributes")} == {"temporalio"}


DOMAINS = (
    "custody",
    "work",
    "tokens",
    "votes",
    "receipts",
    "elections",
    "eligibility",
    "audit",
    "people",
)


def test_services_know_no_request() -> None:
    for path in source.in_packages(".py"):
        room, module = source.name(path).split("/")[1:2], path.stem
        if not room or room[0] not in DOMAINS or module in ("views", "presenting"):
            continue
        names = {
            argument.arg
            for function in source.functions(path)
            for argument in function.args.args + function.args.kwonlyargs
        }
        assert "request" not in names, source.name(path)
