"""What anyone can ask of an election over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from webtest import TestApp

from tests.elections.ceremonies import Office
from tests.elections.drafts import AUTHORITY
from tests.support.databases import Database
from votepyramid.app import configure
from votepyramid.elections import ceremony
from votepyramid.protocol.identifiers import manifest_hash
from votepyramid.protocol.manifest import load_signed, open_manifest
from votepyramid.settings import Settings
from votepyramid.stack import credentials


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Iterator[Any]:
    """The public application; Temporal is not asked for these."""
    made = credentials.make(tmp_path)
    settings = Settings(
        environment="development", database_url=database.app_url, **made
    )
    config = configure(settings)
    yield TestApp(config.make_wsgi_app())
    services = config.registry["services"]
    services.drain(0.1)
    services.engine.dispose()


def test_an_election_and_its_manifest(app: Any, office: Office) -> None:
    view = office.open()
    answer = app.get("/api/elections/spring/", status=200)
    assert answer.content_type == "application/json"
    assert answer.json == {
        "id": "spring",
        "title": "Spring election",
        "status": "open",
        "opens": view.manifest["opens"],
        "closes": view.manifest["closes"],
        "grace_seconds": 300,
        "manifest_hash": view.manifest_hash.hex(),
    }
    answer = app.get("/api/elections/spring/manifest/", status=200)
    assert answer.content_type == "application/json"
    assert answer.body == view.signed_manifest.encode()
    opened = open_manifest(load_signed(answer.body), AUTHORITY.verifier.text())
    assert manifest_hash(opened) == view.manifest_hash


def test_an_election_closed_early_says_so(app: Any, office: Office) -> None:
    view = office.open()
    app.get("/api/elections/spring/", status=200)
    ceremony.close(office.owner, "spring", early=True)
    answer = app.get("/api/elections/spring/").json
    assert answer["status"] == "closed"
    assert answer["opens"] < answer["closes"] < view.manifest["closes"]


@pytest.mark.parametrize(
    "election", ["nowhere", "SPRING", "%00", "a%20b", "%F0%9F%97%B3"]
)
@pytest.mark.parametrize("more", ["", "manifest/"])
def test_an_unknown_election(
    app: Any, office: Office, election: str, more: str
) -> None:
    office.open()
    answer = app.get(f"/api/elections/{election}/{more}", status=404)
    assert answer.content_type == "application/problem+json"
    assert json.loads(answer.body)["code"] == "election_unknown"


def test_only_reading(app: Any, office: Office) -> None:
    office.open()
    for method in (app.post, app.put, app.delete):
        answer = method("/api/elections/spring/", status="*")
        assert answer.status_int in (404, 405)
