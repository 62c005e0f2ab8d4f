"""`votepyramid keys rotate`, and what follows it, wherever the keys are kept."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, cast

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, text

from tests.keys.conftest import PLACES
from tests.keys.kms import Place, a_name, fresh
from tests.support.databases import Database
from tests.support.faults import events_refused
from votepyramid.audit import service as audit
from votepyramid.cli import main
from votepyramid.custody import rotating
from votepyramid.custody.rewrapping import Rewrapping
from votepyramid.keys import bounded, providers
from votepyramid.keys.provider import (
    Announce,
    KekStore,
    KeyProviderError,
    Unanswered,
)
from votepyramid.keys.service import ElectionKeys
from votepyramid.settings import Settings

Run = Callable[..., Any]
_OURS = ("kek_", "pkcs11_", "vault_")


def environment(settings: Settings) -> dict[str, str]:
    """The settings of a key provider, as a process gets them."""
    found = {}
    for one in fields(settings):
        value = getattr(settings, one.name)
        if one.name.startswith(_OURS):
            words = " ".join(sorted(value)) if isinstance(value, frozenset) else value
            found[f"VOTEPYRAMID_{one.name.upper()}"] = str(words)
    return found


@pytest.fixture
def run(database: Database) -> Run:
    """What a command says with --json."""

    def invoke(settings: Settings, *words: str, status: int = 0) -> Any:
        env = {"VOTEPYRAMID_OWNER_DATABASE_URL": database.owner_url}
        env |= environment(settings)
        done = CliRunner().invoke(main, ["keys", *words, "--json"], env=env)
        assert done.exit_code == status, (done.output, done.exception)
        return json.loads(done.stdout)

    return invoke


@pytest.fixture
def settings(place: Place, owner: Engine) -> Settings:
    """An operator's; a key of an election is under the current one."""
    made = place.operators(place.settings(fresh(place)))
    keys = ElectionKeys(providers.make(made), owner, data_key_rows=10)
    with owner.begin() as connection:
        keys.store(connection, "e", "data", uuid.uuid4(), b"k" * 32)
    keys.close()
    return made


def told(owner: Engine) -> list[tuple[str, str, str | None]]:
    """Kind, key and the name it was asked for under, of each event of such keys."""
    query = "SELECT kind, detail ->> 'kek', detail ->> 'name' FROM audit_events "
    query += "WHERE kind LIKE 'kek%' OR kind = 'keys_rewrapped' ORDER BY id"
    with owner.connect() as connection:
        return [(row[0], row[1], row[2]) for row in connection.execute(text(query))]


def set_as_said(settings: Settings, said: dict[str, Any]) -> Settings:
    """As an operator does who does what the command says."""
    if settings.kek_provider == "file":
        return settings
    changed = said["settings"]
    older = frozenset(changed["kek_older"].split())
    return replace(settings, kek_current=changed["kek_current"], kek_older=older)


def test_a_rotation_from_start_to_end(
    run: Run, settings: Settings, owner: Engine
) -> None:
    old, name = providers.names(settings).current, a_name()
    said = run(settings, "rotate", name)
    made = said["current"] if settings.kek_provider == "file" else said["made"]
    changed = set_as_said(settings, said)
    assert providers.names(changed).current == made
    wrapped = {
        kek["name"]: kek["wrapped_keys"] for kek in run(changed, "status")["keks"]
    }
    assert wrapped == {made: 0, old: 1}
    # What a worker with --role keys does.
    Rewrapping(owner, providers.make(changed), made).batch(None, 10)
    assert run(changed, "destroy", old, "--yes")["destroyed"]
    (left,) = [kek for kek in run(changed, "status")["keks"] if kek["current"]]
    assert (left["wrapped_keys"], left["problem"]) == (1, "")
    file = settings.kek_provider == "file"
    assert told(owner) == [
        ("kek_announced", name, None),
        ("kek_rotated", made, None) if file else ("kek_made", made, name),
        ("keys_rewrapped", made, None),
        ("kek_retired", old, None),
        ("kek_destroyed", old, None),
    ]


def test_asked_again_it_makes_no_other(
    run: Run, settings: Settings, owner: Engine
) -> None:
    name = a_name()
    changed = set_as_said(settings, run(settings, "rotate", name))
    before = told(owner)
    for given in (settings, changed):
        assert "already" in run(given, "rotate", name, status=1)["error"]
    assert told(owner) == before


def test_who_may_not_make_keys_leaves_an_announcement_at_most(
    run: Run, place: Place, settings: Settings, owner: Engine
) -> None:
    name = a_name()
    service = place.settings(fresh(place))
    with place.barred(service) as theirs:
        assert run(theirs, "rotate", name, status=1)["error"]
    assert set(told(owner)) <= {("kek_announced", name, None)}


def test_no_key_is_made_that_no_event_names(
    run: Run, settings: Settings, owner: Engine, database: Database
) -> None:
    name = a_name()
    with events_refused(database.owner_url, "kek_announced"):
        error = run(settings, "rotate", name, status=1)["error"]
    assert "the database said" in error and told(owner) == []
    after = "kek_rotated" if settings.kek_provider == "file" else "kek_made"
    with events_refused(database.owner_url, after):
        error = run(settings, "rotate", name, status=1)["error"]
    assert "is made" in error and "Do not rotate again" in error
    assert told(owner) == [("kek_announced", name, None)]
    # So it is there.
    assert "already" in run(settings, "rotate", name, status=1)["error"]


@pytest.mark.parametrize("place", PLACES[1:], indirect=True)
def test_a_place_that_hangs_says_what_is_not_known(
    run: Run,
    settings: Settings,
    owner: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the announcement; a key file answers."""
    monkeypatch.setattr(bounded, "MAKING_SECONDS", 2)
    name, gate = a_name(), threading.Event()
    tell = rotating._tell

    def telling(engine: Engine, event: audit.Event) -> None:
        tell(engine, event)
        gate.wait(20)

    with monkeypatch.context() as held:
        held.setattr(rotating, "_tell", telling)
        error = run(settings, "rotate", name, status=1)["error"]
    assert "did not answer in 2 s" in error and "is not known" in error
    assert "Repeat this with the same name" in error
    assert told(owner) == [("kek_announced", name, None)]
    gate.set()


def test_who_gave_up_before_the_announcement_makes_no_key_later(
    owner: Engine,
) -> None:
    class Late:
        """Gives up, and then goes on all the same."""

        def make(self, name: str, announce: Announce) -> str:
            self.announce = announce
            raise Unanswered("it did not answer")

    store = Late()
    with pytest.raises(Unanswered, match=r"^it did not answer$"):
        rotating.rotate(owner, cast(KekStore, store), "kek-2027", file=False)
    with pytest.raises(KeyProviderError, match="given up"):
        store.announce()
    assert told(owner) == []


def test_a_name_that_was_destroyed_is_not_used_again(
    run: Run, settings: Settings, owner: Engine
) -> None:
    """The database would take nothing that is wrapped under it."""
    old = providers.names(settings).current
    changed = set_as_said(settings, run(settings, "rotate", a_name()))
    made = providers.names(changed).current
    Rewrapping(owner, providers.make(changed), made).batch(None, 10)
    run(changed, "destroy", old, "--yes")
    before = told(owner)
    error = run(changed, "rotate", old, status=1)["error"]
    assert "was destroyed before" in error and "take another" in error
    assert told(owner) == before
