"""Rewrapping, as an operator does it: on a worker that may be killed."""

from __future__ import annotations

import json
import signal
from typing import Any

import psycopg
import pytest

from tests.custody.conftest import SECRET, Office, held_at
from tests.support import histories
from tests.support.faults import Console
from tests.support.processes import eventually
from tests.support.scanning import where
from votepyramid.engine.rewrapping import rewrap
from votepyramid.settings import Settings
from workflows.messages import RewrapKeysInput, RewrapProgress

TAKEOVER_S = 60


def _rotate(office: Office) -> str:
    made: str = office.keys("rotate")["current"]
    return made


def _events(office: Office, kind: str, election: str = "e") -> list[dict[str, object]]:
    return [
        row[0]
        for row in office.rows(
            "SELECT detail FROM audit_events WHERE kind = %s AND election = %s "
            "ORDER BY id",
            kind,
            election,
        )
    ]


def _workflow(office: Office) -> str:
    return f"rewrap/{office.env['VOTEPYRAMID_KEYS_TASK_QUEUE']}"


def test_every_key_comes_under_the_current_one(office: Office) -> None:
    made = office.make_keys(40)
    other = office.make_keys(3, "other")
    before = dict(office.rows("SELECT id, wrapped FROM wrapped_keys"))
    new = _rotate(office)
    newest = office.make_keys(2)
    office.start_worker()
    done = office.keys("rewrap")
    assert done == {
        "current": new,
        "rewrapped": 43,
        "failed": 0,
        "examples": [],
        "left": 0,
    }
    assert office.under() == {new: 45}
    assert office.open_all({**made, **newest})
    assert office.open_all(other, "other")
    after = dict(office.rows("SELECT id, wrapped FROM wrapped_keys"))
    assert set(before) < set(after)
    assert {i for i in before if before[i] == after[i]} == set()
    assert [e["kek"] for e in _events(office, "kek_rotated", "other")] == [new]
    rewrapped = _events(office, "keys_rewrapped")
    assert {e["kek"] for e in rewrapped} == {new}
    assert sum(e["keys"] for e in rewrapped) == 40
    assert sum(e["keys"] for e in _events(office, "keys_rewrapped", "other")) == 3
    # Nothing is left to do, and nothing is written about that.
    assert office.keys("rewrap")["rewrapped"] == 0
    assert _events(office, "keys_rewrapped") == rewrapped


def test_a_killed_worker_is_taken_over(office: Office) -> None:
    made = office.make_keys(300)
    new = _rotate(office)
    doomed = office.start_worker()
    # In the middle of a batch: one that was committed and not reported would be left
    # out of what the command counts.
    with held_at(office, sorted(made)[100]) as held:
        command = office.popen("rewrap", "--json")
        assert eventually(held, 30)
        doomed.kill()
        halfway = office.under()
        assert 0 < halfway[new] < 300
    # Interrupted, the command leaves the work alone; run again, it joins it.
    command.send_signal(signal.SIGINT)
    _, said = command.communicate(timeout=60)
    assert command.returncode == 130, said
    assert "It goes on" in said
    console = Console(office.env)
    assert console.status(_workflow(office)) == "RUNNING"
    (first,) = {one.run_id for one in histories.executions(console, _query(office))}
    # Before the worker: one that is quick could have ended the run that is joined.
    joining = office.popen("rewrap", "--json")
    office.start_worker()
    said, errors = joining.communicate(timeout=90)
    assert joining.returncode == 0, (said, errors)
    done = json.loads(said)
    assert (done["rewrapped"], done["failed"], done["left"]) == (300, 0, 0)
    assert office.under() == {new: 300}
    assert office.open_all(made)
    assert sum(e["keys"] for e in _events(office, "keys_rewrapped")) == 300
    assert {e.run_id for e in histories.executions(console, _query(office))} == {first}


def _query(office: Office) -> str:
    return f"WorkflowId = '{_workflow(office)}'"


def test_no_key_in_any_history(office: Office) -> None:
    office.make_keys(5)
    wrapped = [row[0] for row in office.rows("SELECT wrapped FROM wrapped_keys")]
    new = _rotate(office)
    office.start_worker()
    office.keys("rewrap")
    wrapped += [row[0] for row in office.rows("SELECT wrapped FROM wrapped_keys")]
    console = Console(office.env)
    found = histories.executions(console, _query(office))
    texts = list(histories.texts_of(console, found))
    texts += [(worker.name, worker.log_text()) for worker in office.workers]
    # The search finds what is there.
    assert where(new, texts)
    for one in (SECRET, *wrapped):
        assert where(one, texts) == set()
    assert [histories.unsealed(console, one) for one in found] == [[]]


def test_what_does_not_open_is_told_and_left(office: Office) -> None:
    """Under a key that is gone, and altered."""
    office.make_keys(2)
    lost = office.kek.read_text()
    _rotate(office)
    document = json.loads(office.kek.read_text())
    old = next(iter(json.loads(lost)["keys"]))
    del document["keys"][old]
    office.kek.write_text(json.dumps(document))
    _rotate(office)
    middle = office.make_keys(3)
    altered = next(iter(middle))
    office.rows(
        "UPDATE wrapped_keys SET wrapped = wrapped || '\\x00' WHERE id = %s "
        "RETURNING 1",
        altered,
    )
    new = _rotate(office)
    office.start_worker()
    done = office.keys("rewrap", status=1)
    assert (done["rewrapped"], done["failed"], done["left"]) == (2, 3, 3)
    assert str(altered) in done["examples"]
    del middle[altered]
    assert office.open_all(middle)
    under = {k["name"]: k["wrapped_keys"] for k in _survey(office)}
    assert under[new] == 2 and under[old] == 2


def _survey(office: Office) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = office.keys("status", status=1)["keks"]
    return found


def test_a_worker_of_before_the_rotation_is_told_apart(office: Office) -> None:
    office.make_keys(2)
    office.start_worker()
    new = _rotate(office)
    error = office.keys("rewrap", status=1)["error"]
    assert "a worker wraps under" in error and new in error
    office.workers[0].terminate()
    office.start_worker()
    assert office.keys("rewrap")["rewrapped"] == 2


def test_a_key_that_is_wiped_meanwhile_stays_wiped(office: Office) -> None:
    made = office.make_keys(1)
    _rotate(office)
    office.start_worker()
    wipe = "UPDATE wrapped_keys SET wrapped = NULL"
    with psycopg.connect(office.database.owner_url) as db:
        db.execute(wipe)
        command = office.popen("rewrap", "--json")
        waiting = "SELECT 1 FROM pg_locks WHERE NOT granted"
        assert eventually(lambda: bool(office.rows(waiting)), 20)
        db.commit()
    said, _ = command.communicate(timeout=60)
    assert json.loads(said)["rewrapped"] == 0
    assert office.rows("SELECT wrapped FROM wrapped_keys") == [(None,)] * len(made)
    assert _events(office, "keys_rewrapped") == []


def test_many_go_on_as_new_runs_and_all_under_the_same_name_too(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = office.make_keys(11)
    before = dict(office.rows("SELECT id, wrapped FROM wrapped_keys"))
    office.start_worker()
    for name, value in office.env.items():
        monkeypatch.setenv(name, value)
    current = office.keys("status")["keks"][0]["name"]
    seen: list[RewrapProgress | None] = []
    done = rewrap(
        Settings.load(),
        RewrapKeysInput(current, everything=True, size=2, batches=2),
        lambda progress, stuck: seen.append(progress),
    )
    assert (done.rewrapped, done.failed, done.left) == (11, 0, 0)
    after = dict(office.rows("SELECT id, wrapped FROM wrapped_keys"))
    assert {i for i in before if before[i] == after[i]} == set()
    assert office.open_all(made)
    runs = histories.executions(Console(office.env), _query(office))
    assert len(runs) == 3


KEEPER_MAY_NOT = [
    "UPDATE wrapped_keys SET wrapped = NULL",
    "UPDATE wrapped_keys SET election = 'other'",
    "UPDATE wrapped_keys SET purpose = 'data'",
    "INSERT INTO wrapped_keys SELECT * FROM wrapped_keys",
    "DELETE FROM wrapped_keys",
    "SELECT * FROM vote_submissions",
    "SELECT * FROM vote_tokens",
    "SELECT * FROM voters",
    "SELECT * FROM audit_events",
    "UPDATE audit_events SET kind = 'x'",
    "DELETE FROM retired_keks",
    "SELECT * FROM retired_keks",
    "CREATE TABLE mine (a int)",
]


@pytest.mark.parametrize("statement", KEEPER_MAY_NOT)
def test_the_keepers_role_may_not(office: Office, statement: str) -> None:
    office.make_keys(1)
    with (
        psycopg.connect(office.database.keeper_url) as db,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        db.execute(statement)


def test_a_wiped_key_is_not_the_keepers(office: Office) -> None:
    office.make_keys(1)
    office.rows("UPDATE wrapped_keys SET wrapped = NULL RETURNING 1")
    with psycopg.connect(office.database.keeper_url) as db:
        put = db.execute("UPDATE wrapped_keys SET wrapped = '\\x01'")
        assert put.rowcount == 0
