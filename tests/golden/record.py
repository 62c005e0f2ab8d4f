"""Record the golden histories anew: `python -m tests.golden.record votes keys`.

To be done when a workflow is changed on purpose and no election is under way: until
then, histories of the old code must replay with the new one. Kinds are votes, claims,
keys, closings and exports; `close_election.by_the_clock` is of a closing as it was
before it added its pauses up, and not made anew.

Runs real servers, and writes one file a history beside this one. They are sealed with
the key ring `codec.json`, which is for these files alone.
"""

from __future__ import annotations

import itertools
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHandle, WorkflowHistory

from tests.support import databases, sequencing
from tests.support.databases import Database
from tests.support.elections import Listed, MadeElection
from tests.support.engines import Engine, running
from tests.support.faults import Console, poisoned
from tests.support.processes import eventually, start_worker
from tests.support.together import cast_together, claim_together
from tests.support.voting import OTHER_SELECTIONS, Ballot, Door, at_once
from votepyramid.keys.local import LocalKeyFile
from votepyramid.protocol.suites import X25519
from votepyramid.stack import temporal as temporal_programs
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.postgres import EmbeddedPostgres
from workflows import messages as m
from workflows.messages import REWRAP_KEYS, RewrapKeysInput

HERE = Path(__file__).parent
RING = HERE / "codec.json"
NAMESPACE = "default"
VOTES, CLAIMS = "WorkflowType = 'submit_votes'", "WorkflowType = 'claim_tokens'"


def ring(folder: Path) -> Path:
    """The key ring as a file that only we can read, as the engine demands."""
    copy = folder / "golden-codec.json"
    copy.touch(0o600)
    copy.write_text(RING.read_text())
    return copy


class Recorder:
    """Does one thing after another and keeps the history of each."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.console = Console(engine.env)
        self.election: MadeElection
        self.door: Door
        self._ids = (f"golden-{number}" for number in itertools.count())

    def begin(self, roster: list[Listed]) -> None:
        self.election = self.engine.make_election(
            id=next(self._ids), voters=roster, suite=X25519.id
        )
        (self.door,) = self.engine.doors(self.election)

    def ballots(self, size: int) -> tuple[Ballot, list[Ballot]]:
        """A ballot to hold the line with, and those that gather behind it."""
        self.begin([Listed(f"v{number}") for number in range(size + 1)])
        decoy, *rest = at_once(
            lambda number: self.door.ballot(f"v{number}"), range(size + 1)
        )
        return decoy, rest

    def last(self, query: str, queue: str = "VOTE") -> str:
        """The group that was started last."""
        ours = f"ElectionId = '{self.election.id}' AND {query}"
        found = self.console.workflow_ids(ours, queue)
        started = {
            one: self.console.run(self.console.handle(one).describe()).start_time
            for one in found
        }
        return max(started, key=lambda one: started[one])

    def keep(self, name: str, workflow_id: str, run_id: str | None = None) -> None:
        self.console.finished(workflow_id, 30)
        handle = self.console.client.get_workflow_handle(workflow_id, run_id=run_id)
        fetched = self.console.run(handle.fetch_history())
        history = json.loads(WorkflowHistory(workflow_id, fetched.events).to_json())
        document = {"id": workflow_id, "history": history}
        (HERE / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
        print(f"{name}: {len(fetched.events)} events")


def votes(recorder: Recorder) -> None:
    decoy, ballots = recorder.ballots(3)
    cast_together(recorder.door, decoy, ballots)
    recorder.keep("submit_votes.accepted", recorder.last(VOTES))

    decoy, ballots = recorder.ballots(4)
    door = recorder.door
    assert door.cast(ballots[0]).status_code == 200
    reused = door.seal(ballots[0].bearer, OTHER_SELECTIONS)
    stolen = Ballot(ballots[1].bearer, ballots[0].sealed)
    odd = Ballot(ballots[2].bearer, ballots[2].sealed._replace(style="south"))
    cast_together(door, decoy, [reused, stolen, odd, ballots[3]])
    recorder.keep("submit_votes.mixed", recorder.last(VOTES))

    decoy, ballots = recorder.ballots(2)
    election = recorder.election
    with poisoned(election, "vote_submissions", "election", election.id) as mend:
        cast_together(recorder.door, decoy, ballots)
        group = recorder.last(VOTES)
        assert eventually(lambda: group in recorder.console.needing_attention())
        time.sleep(1)
        mend()
    recorder.keep("submit_votes.patient", group)

    decoy, ballots = recorder.ballots(2)
    bad = ballots[0].receipt_hash
    with poisoned(recorder.election, "vote_submissions", "receipt_hash", bad) as mend:
        cast_together(recorder.door, decoy, ballots)
        child = f"vote/{bad}"
        assert eventually(lambda: recorder.console.needing_attention() == [child])
        recorder.keep("submit_votes.isolated", recorder.last(VOTES))
        time.sleep(1)
        mend()
    recorder.keep("submit_vote", child)


def claims(recorder: Recorder) -> None:
    roster = [Listed("v0"), Listed("v1"), Listed("v2", suspended=True)]
    recorder.begin(roster)
    claim_together(recorder.door, "v0", ["v1", "v2", "stranger"])
    recorder.keep("claim_tokens.mixed", recorder.last(CLAIMS, "CLAIM"))

    recorder.begin(roster)
    election = recorder.election
    ref = str(
        election.count(
            "SELECT ref FROM voters WHERE election = %s AND voter_id = 'v1'",
            election.id,
        )
    )
    with poisoned(election, "vote_tokens", "user", ref) as mend:
        recorder.door.claim("v1")
        child = f"claim/{ref}"
        assert eventually(
            lambda: recorder.console.needing_attention("CLAIM") == [child]
        )
        recorder.keep("claim_tokens.isolated", recorder.last(CLAIMS, "CLAIM"))
        time.sleep(1)
        mend()
    recorder.keep("claim_token", child)


def keys(recorder: Recorder) -> None:
    """Five keys of an election, two a batch."""
    engine = recorder.engine
    recorder.begin([Listed("v0")])
    env = {**engine.env, "VOTEPYRAMID_DATABASE_URL": engine.database.keeper_url}
    worker = start_worker(env, engine.temporal, engine.folder, name="k", roles="keys")
    engine.workers.append(worker)
    target = LocalKeyFile(env["VOTEPYRAMID_KEK_FILE"]).names.current

    def start(**how: int) -> tuple[str, str]:
        queue = env["VOTEPYRAMID_KEYS_TASK_QUEUE"]
        asked = RewrapKeysInput(target, everything=True, size=2, **how)
        started = recorder.console.client.start_workflow(
            REWRAP_KEYS, asked, id=f"rewrap/{queue}", task_queue=queue
        )
        handle = recorder.console.run(started)
        assert handle.first_execution_run_id is not None
        return handle.id, handle.first_execution_run_id

    workflow_id, first = start(batches=2)
    recorder.keep("rewrap_keys", workflow_id)
    recorder.keep("rewrap_keys.continued", workflow_id, first)

    with recorder.election.sql() as db:
        db.execute("REVOKE UPDATE (wrapped) ON wrapped_keys FROM votepyramid_keeper")
        workflow_id, _ = start()
        assert eventually(lambda: recorder.console.attention(workflow_id) is True, 30)
        db.execute("GRANT UPDATE (wrapped) ON wrapped_keys TO votepyramid_keeper")
    recorder.keep("rewrap_keys.patient", workflow_id)


def closings(recorder: Recorder) -> None:
    """One that waits for the log; one called off as a new run; one that is stuck."""
    engine = recorder.engine
    env = {**engine.env, "VOTEPYRAMID_DATABASE_URL": engine.database.closer_url}
    worker = start_worker(
        env, engine.temporal, engine.folder, name="c", roles="closing"
    )
    engine.workers.append(worker)

    recorder.begin([Listed("v0")])
    assert recorder.door.cast(recorder.door.ballot("v0")).status_code == 200
    workflow_id, _ = _close(recorder, early=False, patience=1.0)
    _ask(recorder, workflow_id, "UPDATE election_closings SET early = true")
    _comes_to(recorder, workflow_id, m.GRACE)
    _pass_grace(recorder, workflow_id)
    _comes_to(recorder, workflow_id, m.LOG)
    assert eventually(lambda: recorder.console.attention(workflow_id) is True)
    sequencing.log(engine, engine.folder, "sequence", "--once")
    _confirmed(recorder)
    recorder.keep("close_election", workflow_id)

    recorder.begin([Listed("v0")])
    workflow_id, first = _close(recorder, early=False, looks=2)
    _ask(recorder, workflow_id, "UPDATE election_closings SET early = false")
    _ask(recorder, workflow_id, "DELETE FROM election_closings")
    recorder.keep("close_election.called_off", workflow_id)
    recorder.keep("close_election.continued", workflow_id, first)

    recorder.begin([Listed("v0")])
    notes = "INSERT (note) ON election_statements"
    with recorder.election.sql() as db:
        db.execute("REVOKE SELECT ON election_closings FROM votepyramid_closer")
        workflow_id, _ = _close(recorder, early=True)
        assert eventually(lambda: recorder.console.attention(workflow_id) is True, 30)
        db.execute("GRANT SELECT ON election_closings TO votepyramid_closer")
        _comes_to(recorder, workflow_id, m.GRACE)
        db.execute(
            "REVOKE INSERT (note) ON election_statements FROM votepyramid_closer"
        )
        _pass_grace(recorder, workflow_id)
        _confirmed(recorder)
        assert eventually(lambda: recorder.console.attention(workflow_id) is True, 30)
        db.execute(f"GRANT {notes} TO votepyramid_closer")
    recorder.keep("close_election.patient", workflow_id)


def exports(recorder: Recorder) -> None:
    """One that is asked for again meanwhile; one that is stuck, and is removed."""
    engine, folder = recorder.engine, recorder.engine.folder / "exports"
    folder.mkdir(mode=0o700)
    env = {
        **engine.env,
        "VOTEPYRAMID_DATABASE_URL": engine.database.exporter_url,
        "VOTEPYRAMID_EXPORTS_FOLDER": str(folder),
        "VOTEPYRAMID_EXPORT_WAIT": "3",
    }
    worker = start_worker(
        env, engine.temporal, engine.folder, name="e", roles="exporting"
    )
    engine.workers.append(worker)

    recorder.begin([Listed("v0")])
    election = recorder.election.id
    _order(recorder)
    asked = m.ExportElectionInput(election)
    handle = _start(recorder, m.EXPORT_ELECTION, asked, m.exporting(election))
    time.sleep(1)
    recorder.console.run(handle.signal(m.LOOK_AGAIN))
    recorder.keep("export_election", handle.id)

    recorder.begin([Listed("v0")])
    election = recorder.election.id
    export = _order(recorder)
    asked = m.ExportElectionInput(election, tries=2)
    with recorder.election.sql() as db:
        db.execute("REVOKE SELECT ON archived_histories FROM votepyramid_exporter")
        handle = _start(recorder, m.EXPORT_ELECTION, asked, m.exporting(election))
        assert eventually(lambda: recorder.console.attention(handle.id) is True, 30)
        db.execute("GRANT SELECT ON archived_histories TO votepyramid_exporter")
        recorder.keep("export_election.patient", handle.id)
        db.execute("UPDATE asked_exports SET removed_by = 'ada' WHERE sums IS NOT NULL")
    handle = _start(recorder, m.REMOVE_EXPORT, export, m.removing(export))
    recorder.keep("remove_export", handle.id)


def _order(recorder: Recorder) -> str:
    """The id of an export that is asked for."""
    return str(
        recorder.election.count(
            "INSERT INTO asked_exports (election, asked_by) VALUES (%s, 'ada') "
            "RETURNING id",
            recorder.election.id,
        )
    )


def _start(
    recorder: Recorder, kind: str, asked: object, workflow_id: str
) -> WorkflowHandle[Any, Any]:
    started = recorder.console.client.start_workflow(
        kind,
        asked,
        id=workflow_id,
        task_queue=recorder.engine.env["VOTEPYRAMID_EXPORTING_TASK_QUEUE"],
        task_timeout=m.TASK_TIMEOUT,
    )
    return recorder.console.run(started)


def _close(recorder: Recorder, *, early: bool, **how: float) -> tuple[str, str]:
    """Workflow and run that close the recorder's election, once they wait."""
    election = recorder.election.id
    with recorder.election.sql() as db:
        db.execute(
            "INSERT INTO election_closings (election, early, asked_by) "
            "VALUES (%s, %s, 'ada')",
            (election, early),
        )
    asked = m.CloseElectionInput(election, **how)  # type: ignore[arg-type]
    started = recorder.console.client.start_workflow(
        m.CLOSE_ELECTION,
        asked,
        id=m.closing(election),
        task_queue=recorder.engine.env["VOTEPYRAMID_CLOSING_TASK_QUEUE"],
        task_timeout=m.TASK_TIMEOUT,
    )
    handle = recorder.console.run(started)
    if not early:
        _comes_to(recorder, handle.id, m.ANNOUNCED)
        time.sleep(1)
    assert handle.first_execution_run_id is not None
    return handle.id, handle.first_execution_run_id


def _comes_to(recorder: Recorder, workflow_id: str, phase: str) -> None:
    handle = recorder.console.handle(workflow_id)

    def there() -> bool:
        asked = handle.query(m.CLOSING_STATE, result_type=m.ClosingState)
        return recorder.console.run(asked).phase == phase

    assert eventually(there, 30)


def _ask(recorder: Recorder, workflow_id: str, statement: str) -> None:
    with recorder.election.sql() as db:
        db.execute(f"{statement} WHERE election = '{recorder.election.id}'".encode())
    signalled = recorder.console.handle(workflow_id).signal(m.LOOK_AGAIN)
    recorder.console.run(signalled)
    time.sleep(1)


def _pass_grace(recorder: Recorder, workflow_id: str) -> None:
    recorder.election.pass_grace()
    signalled = recorder.console.handle(workflow_id).signal(m.LOOK_AGAIN)
    recorder.console.run(signalled)


def _confirmed(recorder: Recorder) -> None:
    """Have a sequencer confirm the logs, as soon as the closer asks for it."""
    query = "SELECT count(*) FROM audit_events WHERE election = %s AND kind = %s"
    asked = (query, recorder.election.id, "votes_complete")
    assert eventually(lambda: recorder.election.count(*asked) == 1, 30)
    sequencing.log(recorder.engine, recorder.engine.folder, "sequence", "--once")


@contextmanager
def _servers(folder: Path) -> Iterator[tuple[Database, DevServer]]:
    postgres = EmbeddedPostgres(folder / "postgres")
    temporal = DevServer(temporal_programs.find_cli(print), folder / "temporal")
    try:
        postgres.start()
        temporal.start()
        databases.make_template(postgres)
        with databases.fresh(postgres) as database:
            yield database, temporal
    finally:
        temporal.stop()
        postgres.stop()


def main(*kinds: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="votepyramid-golden-"))
    folder.chmod(0o711)
    if not RING.exists():
        LocalKeyFile.create(RING)
    try:
        with (
            _servers(folder) as (database, temporal),
            running(
                database,
                temporal,
                folder,
                groups_in_flight=1,
                codec_keys_file=ring(folder),
            ) as engine,
        ):
            recorder = Recorder(engine)
            for record in (votes, claims, keys, closings, exports):
                if record.__name__ in kinds:
                    record(recorder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
