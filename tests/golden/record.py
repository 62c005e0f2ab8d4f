"""Record the golden histories anew: `python -m tests.golden.record`.

To be done when a workflow is changed on purpose and no election is under way: until
then, histories of the old code must replay with the new one. Runs real servers, and
writes one file a history beside this one. They are sealed with the key ring
`codec.json`, which is for these files alone.
"""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from temporalio.client import WorkflowHistory

from tests.support import databases
from tests.support.databases import Database
from tests.support.elections import Listed, MadeElection
from tests.support.engines import Engine, running
from tests.support.faults import Console, poisoned
from tests.support.processes import eventually
from tests.support.together import cast_together, claim_together
from tests.support.voting import OTHER_SELECTIONS, Ballot, Door, at_once
from votepyramid.keys.local import LocalKeyFile
from votepyramid.protocol.suites import X25519
from votepyramid.stack import temporal as temporal_programs
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.postgres import EmbeddedPostgres

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

    def keep(self, name: str, workflow_id: str) -> None:
        self.console.finished(workflow_id, 30)
        fetched = self.console.run(self.console.handle(workflow_id).fetch_history())
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


def main() -> None:
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
            votes(recorder)
            claims(recorder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
