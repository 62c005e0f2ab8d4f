"""What Temporal forgets is kept before, and a missed run is an alarm."""

from __future__ import annotations

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import event
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.history.v1 import History
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import ScheduleOverlapPolicy
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import ActivityEnvironment

from activities.audit import AuditSteps
from tests.auditors.conftest import Bureau, discrepancy, verify
from tests.support import histories
from tests.support.elections import MadeElection
from tests.support.faults import Console
from tests.support.processes import Running, eventually, start_worker
from tests.support.voting import at_once
from votepyramid.db import make_engine
from votepyramid.elections.unlinking import unlink
from votepyramid.engine import control, upkeep
from votepyramid.engine.codec import PLACE, SealedPayloads
from votepyramid.engine.histories import Execution
from votepyramid.keys.local import LocalKeyFile
from votepyramid.protocol.encoding import b64u, unb64u
from votepyramid.settings import Settings
from votepyramid.stack import roles
from votepyramid.stack.postgres import EmbeddedPostgres

SCHEDULE = "VOTEPYRAMID_UPKEEP_TASK_QUEUE"


def voted(bureau: Bureau, name: str) -> MadeElection:
    made = bureau.engine.make_election(id=name, voters=5)
    (door,) = bureau.engine.doors(made)
    ballots = at_once(lambda n: door.ballot(f"v{n}"), range(5))
    assert {one.status_code for one in at_once(door.cast, ballots)} == {200}
    bureau.sequence()
    return made


def archive(bureau: Bureau, console: Console, election: MadeElection) -> None:
    """Have the schedule run now, and wait until it has."""
    runs = "SELECT count(*) FROM archive_runs WHERE found IS NOT NULL"
    before = election.count(runs)
    settings = Settings(upkeep_task_queue=bureau.engine.env[SCHEDULE])
    handle = console.client.get_schedule_handle(upkeep.schedule_id(settings))
    # The run before may have noted its end, and not ended yet.
    console.run(handle.trigger(overlap=ScheduleOverlapPolicy.BUFFER_ONE))
    assert eventually(lambda: election.count(runs) > before, 30)


def forget(console: Console, election: str, query: str = "") -> int:
    """Have Temporal delete every workflow of an election, as its retention does.

    Or those that a list filter finds.
    """
    query = query or f"ElectionId = '{election}'"
    number = len(histories.executions(console, query))

    def gone() -> bool:
        # Again: a workflow that was closed just now can be listed once more.
        left = histories.executions(console, query)
        for one in left:
            run = WorkflowExecution(workflow_id=one.id, run_id=one.run_id)
            request = DeleteWorkflowExecutionRequest(
                namespace=console.client.namespace, workflow_execution=run
            )
            service = console.client.workflow_service
            with suppress(RPCError):
                console.run(service.delete_workflow_execution(request))
        return not left

    assert eventually(gone, 60)
    return number


def test_what_temporal_forgot_is_in_the_export(bureau: Bureau, tmp_path: Path) -> None:
    election, console = voted(bureau, "forgotten"), Console(bureau.engine.env)
    archive(bureau, console, election)
    # Once more: nothing is kept twice.
    archive(bureau, console, election)
    number = forget(console, election.id)
    kept = election.count(
        "SELECT count(*) FROM archived_histories WHERE election = %s", election.id
    )
    assert kept == number > 0
    done = bureau.export(election.id, tmp_path / "export")
    assert done.returncode == 0, done.stderr
    checked = verify(tmp_path / "export", "--json")
    assert checked.returncode == 0, checked.stdout
    checks = {
        one["check"]: one["count"] for one in json.loads(checked.stdout)["checks"]
    }
    assert checks["histories"] == number
    assert checks["votes and histories"] == 5


def test_a_ballot_edited_in_an_archived_history_is_found(
    bureau: Bureau, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    """As superuser, with the payload key ring, after Temporal forgot."""
    election, console = voted(bureau, "archived-and-edited"), Console(bureau.engine.env)
    archive(bureau, console, election)
    forget(console, election.id)
    url = postgres.url(roles.SUPERUSER, bureau.engine.database.name)
    with psycopg.connect(url, autocommit=True) as db:
        query = "SELECT run_id, history FROM archived_histories WHERE election = %s"
        (run_id, kept), *_ = db.execute(
            f"{query} AND workflow_id LIKE 'votes/%%'", (election.id,)
        ).fetchall()
        history = History.FromString(kept)
        receipt_hash = edit_a_ballot(bureau, history)
        db.execute(
            "UPDATE archived_histories SET history = %s WHERE run_id = %s",
            (history.SerializeToString(), run_id),
        )
    assert bureau.export(election.id, tmp_path / "export").returncode == 0
    found = discrepancy(tmp_path / "export")
    assert found["check"] == "histories"
    assert f"{receipt_hash}' is not the one" in found["problem"]


def edit_a_ballot(bureau: Bureau, history: History) -> str:
    """Another sealed ballot in what was sent as the first vote; its receipt hash."""
    ring = LocalKeyFile(bureau.engine.env["VOTEPYRAMID_CODEC_KEYS_FILE"])
    started = history.events[0].workflow_execution_started_event_attributes
    (payload,) = started.input.payloads
    codec = SealedPayloads(ring, payload.metadata[PLACE])
    opened = codec.open(payload)
    sent = json.loads(opened.data)
    vote = sent["votes"][0]
    vote["payload"] = b64u(os.urandom(len(unb64u(vote["payload"]))))
    opened.data = json.dumps(sent).encode()
    (sealed,) = asyncio.run(codec.encode([opened]))
    payload.CopyFrom(sealed)
    return str(vote["receipt_hash"])


def test_what_is_unlinked_meanwhile_is_not_counted(bureau: Bureau) -> None:
    election, console = voted(bureau, "vanishing"), Console(bureau.engine.env)
    election.close()
    election.pass_grace()
    election.finish(bureau.sequence)
    engine = make_engine(bureau.engine.database.app_url)
    vanished: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def unlinking(*about: Any) -> None:
        if "INSERT INTO archived_histories" in about[2] and not vanished:
            vanished.append(election.id)
            unlink(election.engine, election.id, dispute_days=0, without_export=True)

    query = f"ElectionId = '{election.id}' AND ExecutionStatus != 'Running'"
    assert eventually(lambda: len(histories.executions(console, query)) > 1)
    everything = "SELECT count(*) FROM archived_histories"
    before = election.count(everything)
    steps = AuditSteps(engine, console.client, "nobody")
    done = console.run(ActivityEnvironment().run(steps.archive_closed))
    # Those of other tests' elections were added.
    assert vanished and done.added == election.count(everything) - before
    assert done.found > done.added


def test_what_is_kept_is_sealed_and_tells_no_time(bureau: Bureau) -> None:
    election, console = voted(bureau, "timeless"), Console(bureau.engine.env)
    archive(bureau, console, election)
    with election.sql() as db:
        rows = db.execute(
            "SELECT run_id, history FROM archived_histories WHERE election = %s",
            (election.id,),
        ).fetchall()
    assert rows
    for run_id, kept in rows:
        history = History.FromString(kept)
        text = histories.raw_text(history)
        assert run_id[14] == "8"
        assert "receipt_hash" not in text
        assert "identity" not in text
        assert not any(event.task_id for event in history.events)
        assert not any(event.event_time.ToSeconds() % 3600 for event in history.events)
        assert not any(event.event_time.nanos for event in history.events)


def test_what_the_retention_takes_while_it_is_fetched_is_passed_over(
    bureau: Bureau,
) -> None:
    election, console = voted(bureau, "fleeting"), Console(bureau.engine.env)
    taken: list[str] = []

    def wanted(one: Execution) -> bool:
        # Listed, and not yet fetched.
        if not taken:
            taken.append(one.run_id)
            with ThreadPoolExecutor(1) as beside:
                beside.submit(delete, console, one).result()
        return True

    got: list[str] = []
    settings = Settings(
        temporal_address=bureau.engine.env["VOTEPYRAMID_TEMPORAL_ADDRESS"],
        codec_keys_file=bureau.engine.env["VOTEPYRAMID_CODEC_KEYS_FILE"],
    )
    control.gather_histories(
        settings,
        election.id,
        wanted,
        lambda one, document: got.append(one.run_id),
        lambda done, total: None,
    )
    assert got
    assert taken[0] not in got


def delete(console: Console, one: Execution) -> None:
    """Have Temporal forget a run, and wait until it has."""
    run = WorkflowExecution(workflow_id=one.workflow_id, run_id=one.run_id)
    request = DeleteWorkflowExecutionRequest(
        namespace=console.client.namespace, workflow_execution=run
    )
    console.run(console.client.workflow_service.delete_workflow_execution(request))
    handle = console.client.get_workflow_handle(one.workflow_id, run_id=one.run_id)

    def gone() -> bool:
        try:
            console.run(handle.fetch_history())
        except RPCError as error:
            return error.status is RPCStatusCode.NOT_FOUND
        return False

    assert eventually(gone, 30)


def test_a_refusal_names_its_status(bureau: Bureau, tmp_path: Path) -> None:
    made = voted(bureau, "refused")
    env = bureau.engine.env | {"VOTEPYRAMID_TEMPORAL_NAMESPACE": "nowhere"}
    other = Bureau(replace(bureau.engine, env=env), bureau.checkpoints)
    done = other.export(made.id, tmp_path / "export")
    assert done.returncode == 1
    said = json.loads(done.stdout)["error"]
    assert "refuses (NOT_FOUND)" in said
    assert "start it" not in said


def apart(bureau: Bureau, name: str, **settings: str) -> Running:
    """A worker of the engine's with an upkeep, and so a schedule, of its own."""
    engine = bureau.engine
    changed = {f"VOTEPYRAMID_{key.upper()}": value for key, value in settings.items()}
    env = {**engine.env, SCHEDULE: name, **changed}
    return start_worker(env, engine.temporal, engine.folder, name=name[:20])


def test_no_vote_waits_for_the_schedule(bureau: Bureau) -> None:
    # Temporal takes ids up to 1000 characters: the queue's is, the schedule's is not.
    worker = apart(bureau, "unscheduled".ljust(990, "-"))
    worker.wait_for_log("archive_not_scheduled")
    assert "INVALID_ARGUMENT" in worker.log_text()
    assert worker.alive()
    assert worker.terminate() == 0


def test_an_interval_that_the_retention_does_not_outlast_is_an_alarm(
    bureau: Bureau,
) -> None:
    # The namespace of the development server keeps closed workflows for a day.
    worker = apart(bureau, "rarely", archive_hours="12")
    worker.wait_for_log("archive_too_rare")
    assert worker.terminate() == 0
    worker = apart(bureau, "often", archive_hours="11")
    worker.wait_for_log("worker_polling")
    assert worker.terminate() == 0
    assert "archive_too_rare" not in worker.log_text()


def test_a_missed_run_is_an_alarm(bureau: Bureau) -> None:
    election = bureau.engine.make_election(id="missed")
    with election.sql() as db:
        db.execute("DELETE FROM archive_runs")
        # Neither a time to come nor a run that was only begun is one that was made.
        later = "(began_at, found, added) VALUES (now() + interval '10 years', 0, 0)"
        db.execute(f"INSERT INTO archive_runs {later}")
        db.execute("INSERT INTO archive_runs DEFAULT VALUES")
        db.execute("UPDATE elections SET opened_at = opened_at - interval '13 hours'")
    worker = bureau.engine.start_worker()
    worker.wait_for_log("history_export_missed")
    assert worker.terminate() == 0


def test_rows_of_the_archive_stand_in_no_order_of_time(bureau: Bureau) -> None:
    election, console = voted(bureau, "unordered"), Console(bureau.engine.env)
    archive(bureau, console, election)
    with election.sql() as db:
        rows = db.execute(
            "SELECT workflow_id FROM archived_histories WHERE election = %s "
            "ORDER BY ctid",
            (election.id,),
        ).fetchall()
    kinds = [name.partition("/")[0] for (name,) in rows]
    assert kinds == sorted(kinds)
    assert set(kinds) == {"claims", "votes"}


def test_a_row_that_is_no_history_is_named(bureau: Bureau, tmp_path: Path) -> None:
    election = voted(bureau, "damaged")
    with election.sql() as db:
        db.execute(
            "INSERT INTO archived_histories (run_id, workflow_id, election, history) "
            "VALUES ('run-x', 'claims/x', %s, %s)",
            (election.id, b"\xff\xff"),
        )
    done = bureau.export(election.id, tmp_path / "export")
    assert done.returncode == 1
    assert "run-x" in done.stdout
    assert "Traceback" not in done.stderr
