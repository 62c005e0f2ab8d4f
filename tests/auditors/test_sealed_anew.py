"""An export altered by somebody who has the statements key, and seals it again.

Then no hash and no seal says anything: only what is inside does.
"""

from __future__ import annotations

import gzip
import json
import shutil
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.auditors.conftest import Bureau
from tests.support.elections import MadeElection
from tests.support.voting import at_once
from votepyramid.auditors.folder import SEAL, Writing
from votepyramid.auditors.outside import Outside
from votepyramid.auditors.verifying import verify
from votepyramid.protocol.statements import TreeHead, open_closing, sign_closing

Change = Callable[[Path, MadeElection], None]


@pytest.fixture(scope="module")
def election(bureau: Bureau) -> MadeElection:
    made = bureau.engine.make_election(id="sealed-anew", voters=5)
    (door,) = bureau.engine.doors(made)
    ballots = at_once(lambda n: door.ballot(f"v{n}"), range(5))
    for answer in at_once(door.cast, ballots[:4]):
        assert answer.status_code == 200
    bureau.sequence()
    made.close()
    made.pass_grace()
    made.finish(bureau.sequence)
    bureau.sequence()
    return made


@pytest.fixture(scope="module")
def export(
    bureau: Bureau, election: MadeElection, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("sealed") / "export"
    assert bureau.export(election.id, folder).returncode == 0
    return folder


def histories(folder: Path, kind: str) -> list[Path]:
    """Of one kind of work, `votes` or `claims`."""
    found = sorted((folder / "histories").rglob("*.gz"))
    return [p for p in found if load(p)["workflow_id"].startswith(f"{kind}/")]


def load(path: Path) -> Any:
    return json.loads(gzip.decompress(path.read_bytes()))


def in_history(change: Callable[[Any], None]) -> Change:
    def changed(folder: Path, _election: MadeElection) -> None:
        path = histories(folder, "votes")[0]
        document = load(path)
        change(document)
        path.write_bytes(gzip.compress(json.dumps(document).encode()))

    return changed


def in_counts(**counts: Any) -> Change:
    def changed(folder: Path, _election: MadeElection) -> None:
        path = folder / "election.json"
        document = json.loads(path.read_text())
        document["counts"] |= counts
        path.write_text(json.dumps(document))

    return changed


def closing_gone(folder: Path, _election: MadeElection) -> None:
    (folder / "statements/closing").unlink()


def another_log_stated(folder: Path, election: MadeElection) -> None:
    path = folder / "statements/closing"
    key = election.keys.signer(election.id, "statements")
    origin = election.manifest["receipts"]["origin"]
    said = open_closing(path.read_text(), origin, election.m, key.verifier)
    other = replace(said, log=TreeHead(said.log.size, bytes(32)))
    path.write_text(sign_closing(other, key))


def of_another_election(folder: Path, _election: MadeElection) -> None:
    path = folder / "election.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "id": "another"}))


def a_file_added(folder: Path, _election: MadeElection) -> None:
    (folder / "notes.txt").write_text("seen by nobody")


def a_link(folder: Path, _election: MadeElection) -> None:
    path = folder / "election.json"
    shutil.copy(path, folder.parent / "election.json")
    path.unlink()
    path.symlink_to(folder.parent / "election.json")


def no_gzip(folder: Path, _election: MadeElection) -> None:
    path = histories(folder, "votes")[0]
    path.write_bytes(path.read_bytes()[:20] + b"\xff" * 50)


def a_receipt_twice(folder: Path, _election: MadeElection) -> None:
    path = folder / "receipts/00000.jsonl.gz"
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join([*lines, lines[0]])))


def no_histories(kind: str) -> Change:
    def changed(folder: Path, _election: MadeElection) -> None:
        for path in histories(folder, kind):
            path.unlink()

    return changed


def unlinked(count: int, status: str = "unlinked", waiting: int = 0) -> Change:
    """Without any history, as if they were gone by unlinking."""

    def changed(folder: Path, _election: MadeElection) -> None:
        shutil.rmtree(folder / "histories")
        path = folder / "election.json"
        document = json.loads(path.read_text())
        document["status"] = status
        document["counts"]["events"]["election_unlinked"] = count
        document["counts"]["unpublished"]["audit-log"] += waiting
        path.write_text(json.dumps(document))

    return changed


def one_history_gone(folder: Path, _election: MadeElection) -> None:
    histories(folder, "votes")[-1].unlink()


def under_another_name(folder: Path, _election: MadeElection) -> None:
    path = histories(folder, "votes")[0]
    path.rename(path.with_name(f"{'0' * 32}.json.gz"))


def another_result(document: Any) -> None:
    event = document["history"]["events"][-1]
    payload = event["workflowExecutionCompletedEventAttributes"]["result"]["payloads"][
        0
    ]
    result = json.loads(b64decode(payload["data"]))
    result[0]["code"] = "token_used"
    payload["data"] = b64encode(json.dumps(result).encode()).decode()


def without_a_step(document: Any) -> None:
    events = document["history"]["events"]
    events.remove(
        next(e for e in events if e["eventType"] == "EVENT_TYPE_MARKER_RECORDED")
    )
    for number, event in enumerate(events, 1):
        event["eventId"] = str(number)


def a_strange_event(document: Any) -> None:
    document["history"]["events"][2]["eventType"] = "EVENT_TYPE_NEW"


def without(event: int, *names: str) -> Callable[[Any], None]:
    """Without what an event has there."""

    def changed(document: Any) -> None:
        place = document["history"]["events"][event]
        for name in names[:-1]:
            place = place[name]
        del place[names[-1]]

    return changed


def moved(kind: str, hours: int) -> Change:
    """A history of that kind of work that says it began then."""

    def changed(folder: Path, _election: MadeElection) -> None:
        path = histories(folder, kind)[0]
        document = load(path)
        for event in document["history"]["events"]:
            at = datetime.fromisoformat(event["eventTime"]) + timedelta(hours=hours)
            event["eventTime"] = f"{at:%Y-%m-%dT%H:%M:%SZ}"
        path.write_bytes(gzip.compress(json.dumps(document).encode()))

    return changed


def a_task_without_an_end(document: Any) -> None:
    """What comes after a task was started is another's."""
    events = document["history"]["events"]
    del events[3]
    for number, event in enumerate(events, 1):
        event["eventId"] = str(number)


STARTED = "workflowExecutionStartedEventAttributes"
CASES: dict[str, tuple[Change, str, str]] = {
    "closing gone": (closing_gone, "closing statement", "it is gone"),
    "another log": (another_log_stated, "closing statement", "another receipt log"),
    "another id": (of_another_election, "files", "another election"),
    "a file added": (a_file_added, "files", "no file of an export"),
    "a link": (a_link, "files", "election.json"),
    "no gzip": (no_gzip, "histories", "not gzip"),
    "receipt twice": (a_receipt_twice, "receipts", "there twice"),
    "eligible": (in_counts(eligible=3), "closing statement", "eligible"),
    "issued": (in_counts(issued=4), "closing statement", "issued"),
    "events": (in_counts(events={"vote_accepted": 4}), "counts", "events"),
    "a cast gone": (one_history_gone, "votes and histories", "no workflow"),
    "no casts": (no_histories("votes"), "votes and histories", "no workflow"),
    "no claims": (no_histories("claims"), "claims and histories", "no workflow"),
    "unlinked never": (unlinked(0), "files", "has not the form"),
    "unlinked and not": (unlinked(1, "finished", 1), "counts", "is finished, with 1"),
    "unlinked in no log": (unlinked(1), "counts", "not in the audit log"),
    "unlinked in a moment": (unlinked(1, waiting=1), "counts", "too early"),
    "another name": (under_another_name, "histories", "another run"),
    "another result": (in_history(another_result), "histories", "last step"),
    "a step gone": (in_history(without_a_step), "histories", "does not replay"),
    "no history": (in_history(lambda d: d.pop("history")), "histories", "KeyError"),
    "cut": (
        in_history(lambda d: d["history"].update(events=d["history"]["events"][:3])),
        "histories",
        "does not end",
    ),
    "a start alone": (
        in_history(lambda d: d["history"].update(events=d["history"]["events"][:1])),
        "histories",
        "does not begin",
    ),
    # These three the Replayer would wait for without end.
    "no run": (
        in_history(without(0, STARTED, "originalExecutionRunId")),
        "histories",
        "names no run or no task queue",
    ),
    "no queue": (
        in_history(without(0, STARTED, "taskQueue", "name")),
        "histories",
        "names no run or no task queue",
    ),
    "a task that hangs": (
        in_history(a_task_without_an_end),
        "histories",
        "was started, and did not end",
    ),
    "an empty event": (
        in_history(without(2, "workflowTaskStartedEventAttributes")),
        "histories",
        "event 3 is not what its type says",
    ),
    "a cast after the end": (moved("votes", 2), "voting time", "came after"),
    "a cast before": (moved("votes", -2), "voting time", "came before"),
    "a claim after the end": (moved("claims", 2), "voting time", "the token of"),
    "a claim before": (moved("claims", -2), "voting time", "came before"),
    "a strange event": (in_history(a_strange_event), "histories", "no known type"),
    "not closed": (
        in_history(lambda d: d.update(closed=False)),
        "histories",
        "does not end as a closed or a running workflow",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_found_within(
    export: Path, election: MadeElection, tmp_path: Path, case: str
) -> None:
    change, check, problem = CASES[case]
    copy = tmp_path / "export"
    shutil.copytree(export, copy)
    change(copy, election)
    seal(copy, election)
    _, found = verify(copy, Outside(), lambda *_: None)
    assert found is not None
    assert (found.check, problem in found.problem) == (check, True), str(found)


def test_sealed_as_it_was_it_holds(
    export: Path, election: MadeElection, tmp_path: Path
) -> None:
    copy = tmp_path / "export"
    shutil.copytree(export, copy)
    seal(copy, election)
    rows, found = verify(copy, Outside(), lambda *_: None)
    assert found is None
    unchecked = [row.check for row in rows if row.unchecked]
    assert unchecked == ["manifest", "witnesses"]


def seal(folder: Path, election: MadeElection) -> None:
    (folder / SEAL).unlink()
    key = election.keys.signer(election.id, "statements")
    origin = election.manifest["receipts"]["origin"]
    Writing(folder, _written_for(folder)).seal(origin, election.m, key)


def _written_for(folder: Path) -> str:
    return str(json.loads((folder / "election.json").read_text())["id"])
