"""What a worker takes from Temporal: payloads sealed for this very workflow.

Whoever can write to Temporal, but has no key, must not get a vote recorded; and
whoever rotates the keys must not lose what was begun under the old ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import History
from temporalio.client import Client, WorkflowHistory
from temporalio.common import RawValue
from temporalio.converter import PayloadCodec, WorkflowSerializationContext
from temporalio.service import RPCError
from temporalio.worker import Replayer

from tests.support.databases import Database
from tests.support.elections import MadeElection
from tests.support.engines import Engine, Engines, running
from tests.support.faults import Console
from tests.support.histories import is_sealed
from tests.support.processes import eventually
from tests.support.voting import Ballot, Door
from votepyramid.engine.codec import PLACE, SealedPayloads, data_converter
from votepyramid.engine.histories import messages
from votepyramid.engine.worker import VOTE_WORKFLOWS
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.provider import KeyProviderError
from votepyramid.protocol.encoding import b64u
from votepyramid.stack.devserver import DevServer
from workflows.messages import SUBMIT_VOTES

NAMESPACE = "default"
FORGERIES = ["unsealed", "moved", "moved and renamed", "sealed with another key"]


def _group(election: MadeElection, ballot: Ballot) -> str:
    return str(
        election.count(
            "SELECT group_id FROM vote_groups WHERE receipt_hash = %s",
            ballot.receipt_hash,
        )
    )


def _history(console: Console, workflow_id: str) -> History:
    fetched = console.run(console.handle(workflow_id).fetch_history())
    return History(events=fetched.events)


def _codec(console: Console) -> PayloadCodec:
    codec = console.client.data_converter.payload_codec
    assert codec is not None
    return codec


def _place(workflow_id: str) -> WorkflowSerializationContext:
    return WorkflowSerializationContext(namespace=NAMESPACE, workflow_id=workflow_id)


@dataclass
class Forger:
    """May write to Temporal and holds groups that no worker has taken up yet."""

    engine: Engine
    election: MadeElection
    console: Console
    door: Door
    folder: Path
    ballots: dict[str, Ballot] = field(default_factory=dict)

    def workflow_id(self, name: str) -> str:
        return f"votes/forged-{self.election.id}-{name.replace(' ', '-')}"

    def forge(self, name: str) -> None:
        """Start a workflow with a held group's vote, and end that group."""
        held = _group(self.election, self.ballots[name])
        first = _history(self.console, held).events[0]
        (sealed,) = first.workflow_execution_started_event_attributes.input.payloads
        payload = self._payload(name, sealed)
        self.console.run(self._start(self.workflow_id(name), payload))
        self.console.run(self.console.handle(held).terminate())

    def _payload(self, name: str, sealed: Payload) -> Payload:
        here = _place(self.workflow_id(name))
        if name == "moved":
            return sealed
        if name == "moved and renamed":
            renamed = Payload()
            renamed.CopyFrom(sealed)
            renamed.metadata[PLACE] = f"{NAMESPACE}/{here.workflow_id}".encode()
            return renamed
        (opened,) = self.console.run(_codec(self.console).decode([sealed]))
        assert json.loads(opened.data)["votes"]
        if name == "unsealed":
            return opened
        LocalKeyFile.create(self.folder / "another.json")
        another = SealedPayloads(LocalKeyFile(self.folder / "another.json"))
        return self.console.run(another.with_context(here).encode([opened]))[0]

    async def _start(self, workflow_id: str, payload: Payload) -> None:
        bare = await Client.connect(self.engine.temporal.address, namespace=NAMESPACE)
        await bare.start_workflow(
            SUBMIT_VOTES,
            RawValue(payload),
            id=workflow_id,
            task_queue=self.engine.env["VOTEPYRAMID_VOTE_TASK_QUEUE"],
        )


@pytest.fixture(scope="module")
def forger(engines: Engines) -> Iterator[Forger]:
    with engines.running("codec", answer_timeout=1) as engine:
        election = engine.make_election(id="forged", voters=len(FORGERIES))
        (door,) = engine.doors(election)
        forger = Forger(engine, election, Console(engine.env), door, engine.folder)
        made = [door.ballot(f"v{n}") for n in range(len(FORGERIES))]
        forger.ballots = dict(zip(FORGERIES, made, strict=True))
        engine.worker.terminate()
        for name, ballot in forger.ballots.items():
            assert door.cast(ballot).status_code == 202
            forger.forge(name)
        engine.start_worker()
        yield forger
        for name in FORGERIES:
            handle = forger.console.handle(forger.workflow_id(name))
            # Ended already where a test has failed.
            with contextlib.suppress(RPCError):
                forger.console.run(handle.terminate())


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_workflow_is_not_carried_out(forger: Forger, name: str) -> None:
    forged, ballot = forger.workflow_id(name), forger.ballots[name]

    def events() -> set[int]:
        return {e.event_type for e in _history(forger.console, forged).events}

    assert eventually(lambda: EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED in events())
    assert EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED not in events()
    assert forger.console.status(forged) == "RUNNING"
    known = "SELECT count(*) FROM vote_submissions WHERE receipt_hash = %s"
    assert forger.election.count(known, ballot.receipt_hash) == 0
    # Through the door it counts.
    forger.door.insist(ballot)
    assert forger.election.count(known, ballot.receipt_hash) == 1


def _rotate(ring: Path) -> tuple[str, str]:
    """Add a key to a ring's file and make it the current one; the old and new id."""
    document = json.loads(ring.read_text())
    old, new = document["current"], "rotated"
    document["keys"][new] = b64u(secrets.token_bytes(32))
    ring.write_text(json.dumps({**document, "current": new}))
    return old, new


def _sealed_under(message: History) -> list[str]:
    """Of each payload, in order."""
    sealed = [one.data for one in messages(message, Payload) if is_sealed(one)]
    return [data[1 : 1 + data[0]].decode() for data in sealed]


def test_what_was_begun_before_a_rotation_goes_on_after_it(
    database: Database, temporal: DevServer, tmp_path: Path
) -> None:
    with running(database, temporal, tmp_path, answer_timeout=1) as engine:
        election = engine.make_election(voters=3)
        (door,) = engine.doors(election)
        ended, held, later = [door.ballot(f"v{n}") for n in range(3)]
        door.insist(ended)
        engine.worker.terminate()
        assert door.cast(held).status_code == 202
        ring = Path(engine.env["VOTEPYRAMID_CODEC_KEYS_FILE"])
        old, new = _rotate(ring)
        engine.web.terminate()
        engine.start_worker()
        engine.start_web()
        console = Console(engine.env)
        (door,) = engine.doors(election)
        assert eventually(lambda: election.counts().accepted == 2)
        door.insist(later)
        groups = [_group(election, ballot) for ballot in (ended, held, later)]
        for group in groups:
            console.finished(group)
        before, across, after = [_history(console, group) for group in groups]
        assert set(_sealed_under(before)) == {old}
        assert _sealed_under(across)[0] == old and _sealed_under(across)[-1] == new
        assert set(_sealed_under(after)) == {new}
        assert election.counts().whole()

        replayer = Replayer(
            workflows=VOTE_WORKFLOWS,
            namespace=NAMESPACE,
            data_converter=data_converter(str(ring)),
        )
        for group, one in zip(groups, (before, across, after), strict=True):
            console.run(replayer.replay_workflow(WorkflowHistory(group, one.events)))


def test_without_its_key_a_history_is_not_opened(tmp_path: Path) -> None:
    async def seal() -> list[Payload]:
        return await SealedPayloads(LocalKeyFile(ring)).encode([Payload(data=b"x")])

    ring = tmp_path / "ring.json"
    LocalKeyFile.create(ring)
    (sealed,) = asyncio.run(seal())
    old, _ = _rotate(ring)
    codec = SealedPayloads(LocalKeyFile(ring))
    assert asyncio.run(codec.decode([sealed]))[0].data == b"x"
    document = json.loads(ring.read_text())
    del document["keys"][old]
    ring.write_text(json.dumps(document))
    with pytest.raises(KeyProviderError, match=old):
        asyncio.run(SealedPayloads(LocalKeyFile(ring)).decode([sealed]))
