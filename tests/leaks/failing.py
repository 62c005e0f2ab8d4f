"""Faults under a vote on its way: each is met, mended, and its vote recorded."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx2

from tests.keys.kms import silence
from tests.leaks.scene import GOOD, Scene
from tests.support.faults import holding, poisoned, token_held, wait_until_blocked
from tests.support.processes import eventually, start_web, start_worker, stopping
from tests.support.voting import Ballot, Door, at_once
from votepyramid.keys.service import RECEIPT_LOG
from votepyramid.logs.keeping import Keeping
from votepyramid.logs.store import RECEIPTS, Log
from votepyramid.protocol.checkpoint import Checkpoint, sign_checkpoint
from votepyramid.stack.program import http_status


def worker_killed(scene: Scene, door: Door, ballot: Ballot) -> None:
    with ThreadPoolExecutor(1) as thread:
        with token_held(scene.election, ballot.bearer):
            waiting = thread.submit(door.insist, ballot, 60)
            wait_until_blocked(scene.election)
            scene.engine.worker.kill()
        scene.engine.start_worker()
        waiting.result(60)


def log_set_aside(scene: Scene) -> None:
    """A log that was longer once: the sequencer finds out when it begins anew."""
    key = scene.election.keys.signer(scene.election.id, RECEIPT_LOG)
    longer = Checkpoint(key.verifier.name, 1000, bytes(32))
    log = Log(scene.election.id, RECEIPTS)
    Keeping(scene.checkpoints).keep(log, sign_checkpoint(longer, key))


def postgres_away(scene: Scene, door: Door, ballot: Ballot) -> None:
    with ThreadPoolExecutor(1) as thread:
        with token_held(scene.election, ballot.bearer):
            waiting = thread.submit(door.insist, ballot, 60)
            wait_until_blocked(scene.election)
            assert scene.postgres.pid is not None
            os.kill(scene.postgres.pid, signal.SIGQUIT)
            scene.postgres.stop()
        scene.answers += [door.cast(ballot), door.claim(GOOD[0])]
        assert eventually(lambda: bool(scene.console.needing_attention()), 20)
        scene.postgres.start()
        scene.sequencer.wait_for_log("log_stopped", 30)
        waiting.result(60)
    # Pools still hold the connections that were cut.
    scene.election.engine.dispose()


def temporal_away(scene: Scene, door: Door, ballot: Ballot) -> None:
    server = scene.engine.temporal
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    scene.answers += [door.cast(ballot), door.claim(GOOD[0])]
    server.start()
    door.insist(ballot, 60)


def kms_away(scene: Scene, door: Door, ballot: Ballot) -> None:
    """A worker and a claim process whose KMS takes connections and says nothing."""
    engine = scene.engine
    token = engine.folder / "vault-token"
    token.write_text("nobody")
    token.chmod(0o600)
    with silence() as address:
        env = {
            **engine.env,
            "VOTEPYRAMID_KEK_PROVIDER": "vault",
            "VOTEPYRAMID_KEK_CURRENT": "kek",
            "VOTEPYRAMID_KEK_TIMEOUT": "1",
            "VOTEPYRAMID_VAULT_URL": address,
            "VOTEPYRAMID_VAULT_TOKEN_FILE": str(token),
        }
        engine.worker.kill()
        worker = start_worker(
            env, engine.temporal, engine.folder, name="worker-keyless"
        )
        web = start_web(env, engine.folder, name="web-keyless")
        engine.workers.append(worker)
        engine.webs.append(web)
        with stopping(web, worker):
            scene.answers.append(door.cast(ballot))
            scene.answers.append(Door(web.url, scene.election).claim(GOOD[0]))
            assert eventually(lambda: bool(scene.console.needing_attention()), 20)
    engine.start_worker()
    door.insist(ballot, 60)


def web_killed(scene: Scene, door: Door, ballots: list[Ballot]) -> None:
    """With casts inside, some of them in a group that a worker has, while others go on
    elsewhere."""
    # None is answered with 202 meanwhile.
    env = {**scene.engine.env, "VOTEPYRAMID_ANSWER_TIMEOUT": "30"}
    doomed = start_web(env, scene.engine.folder, name="web-doomed")
    scene.engine.webs.append(doomed)
    there = Door(doomed.url, scene.election)
    with ThreadPoolExecutor(len(ballots)) as threads:
        with ExitStack() as held:
            # Each, as some may be in a group of their own.
            for ballot in ballots:
                held.enter_context(token_held(scene.election, ballot.bearer))
            lost = [threads.submit(_hung_up, there, one) for one in ballots]
            wait_until_blocked(scene.election)
            scene.answers.append(door.claim(GOOD[0]))
            doomed.kill()
        assert all(one.result() for one in lost)
    for ballot in ballots:
        door.insist(ballot, 60)


def _hung_up(door: Door, ballot: Ballot) -> bool:
    try:
        door.cast(ballot)
    except httpx2.TransportError:
        return True
    return False


def quorum_missed(scene: Scene, door: Door, ballot: Ballot) -> None:
    """One witness lies all the time; for a while no other answers as it should."""
    good, liar = scene.witnesses
    liar.behave = liar.lie
    good.behave = good.fail
    # Of another election's log: that of the main one is set aside.
    door.insist(ballot)
    scene.sequencer.wait_for_log("quorum_missed", 20)
    good.behave = good.add_checkpoint


def overload(scene: Scene, door: Door, ballots: list[Ballot]) -> None:
    """More callers than may wait."""
    bound = int(scene.engine.env["VOTEPYRAMID_WAITING_BOUND"])
    url = scene.election.database.owner_url
    first, *others = ballots
    with ThreadPoolExecutor(bound) as threads:
        with holding(url, "SELECT 1 FROM vote_tokens FOR UPDATE"):
            waiting = [threads.submit(door.cast, first)]
            wait_until_blocked(scene.election)
            waiting += [threads.submit(door.cast, one) for one in others[: bound - 1]]
            time.sleep(0.4)
            scene.answers += at_once(door.cast, others[bound - 1 :])
        scene.answers += [one.result() for one in waiting]
    for ballot in ballots:
        door.insist(ballot, 60)


@contextmanager
def poison(scene: Scene, door: Door, bad: Ballot, last: Ballot) -> Iterator[None]:
    """A row that the database refuses quoting it whole, and a table that is gone."""
    with poisoned(
        scene.election, "vote_submissions", "receipt_hash", bad.receipt_hash, says="NEW"
    ):
        scene.answers.append(door.cast(bad))
        child = f"vote/{bad.receipt_hash}"
        assert eventually(lambda: scene.console.needing_attention() == [child], 20)
        with scene.election.sql() as db:
            db.execute("ALTER TABLE vote_tokens RENAME TO away")
            scene.answers.append(door.cast(last))
            db.execute("ALTER TABLE away RENAME TO vote_tokens")
        door.insist(last, 60)
        yield


def ready(door: Door) -> None:
    port = int(door.url.rpartition(":")[2])
    assert eventually(lambda: http_status(port, "/health/ready") == 200, 60)
