"""An export that is asked for: one workflow from the request to the sealed folder."""

from __future__ import annotations

import stat
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.exports.conftest import Bureau, made
from tests.support.processes import eventually
from votepyramid.audit import asked_exports
from votepyramid.audit.asked_exports import ExportRefused
from votepyramid.audit.exports import Wanting
from votepyramid.audit.operators import acting_as
from votepyramid.auditors.folder import SEAL, SUMS
from votepyramid.engine.listing import Filter, Listing
from votepyramid.errors import Code, Refused
from workflows import messages as m


def modes(place: Path) -> set[int]:
    return {stat.S_IMODE(path.lstat().st_mode) for path in (place, *place.rglob("*"))}


def test_from_the_request_to_what_an_auditor_verifies(bureau: Bureau) -> None:
    bureau.cast("v0", "v1")
    bureau.sequence()
    bureau.start_worker()
    bureau.ask()
    done = bureau.finished()
    assert (done.election, done.asked_by) == (bureau.election.id, "ada")
    # That it was asked for is in no log yet, and it lacks nothing for that.
    assert (made(done).status, made(done).wanting) == ("open", Wanting())
    bureau.verified(done)
    bureau.console.finished(bureau.workflow)
    listed = [path for path in bureau.place(done).rglob("*") if path.is_file()]
    assert made(done).files == len(listed) - len({SUMS, SEAL})
    assert modes(bureau.place(done)) <= {0o600, 0o700}
    assert bureau.by("export_asked") == ["ada"]
    (event,) = bureau.events("audit_exported")
    assert (event["by"], event["sums"]) == ("ada", made(done).sums)
    # Asked for again it is another one, which has the first one's events.
    bureau.sequence()
    bureau.ask("bob")
    assert eventually(lambda: bureau.listed()[0].asked_by == "bob")
    again = bureau.finished()
    assert again.id != done.id
    bureau.verified(again)
    # Neither workflow is among the histories: they copy, and change nothing.
    assert bureau.console.status(bureau.workflow) == "COMPLETED"


def test_two_who_ask_at_once_join_one(bureau: Bureau) -> None:
    with ThreadPoolExecutor(2) as two:
        list(two.map(bureau.ask, ("ada", "bob")))
    (asked,) = bureau.listed()
    assert bureau.by("export_asked") == [asked.asked_by]
    told = bureau.told()
    assert told.running and not told.begun
    bureau.start_worker()
    assert bureau.finished().id == asked.id
    bureau.console.finished(bureau.workflow)
    query = f"WorkflowId = '{bureau.workflow}'"
    assert bureau.console.workflow_ids(query, "EXPORTING") == [bureau.workflow]
    assert bureau.by("audit_exported") == [asked.asked_by]


def test_it_is_among_the_work_of_its_election(bureau: Bureau) -> None:
    bureau.ask()
    found = Filter(election=bureau.election.id, kind=m.EXPORT_ELECTION)

    def ids() -> list[str]:
        page = Listing(bureau.desk).page(found)
        return [one.workflow_id for one in page.workflows]

    assert eventually(lambda: ids() == [bureau.workflow])


def test_progress_is_told(bureau: Bureau) -> None:
    bureau.cast("v0")
    bureau.start_worker(export_wait=60)
    bureau.ask()
    bureau.comes_to("log entries awaited")
    waits = bureau.progress()
    # Of the events that were there before; that it was asked for is none of them.
    assert waits.done == 0 and waits.total > 2
    assert eventually(lambda: bureau.progress().quiet > 2)
    bureau.sequence()
    bureau.verified(bureau.finished())


def test_what_is_in_no_log_is_said(bureau: Bureau) -> None:
    bureau.cast("v0")
    bureau.start_worker(export_wait=1)
    bureau.ask()
    done = bureau.finished()
    assert made(done).wanting.waiting > 2
    (event,) = bureau.events("audit_exported")
    assert event["waiting"] == made(done).wanting.waiting


def test_called_off_while_it_is_written(bureau: Bureau) -> None:
    bureau.cast("v0")
    bureau.start_worker(export_wait=120)
    bureau.ask()
    bureau.comes_to("log entries awaited")
    (asked,) = bureau.listed()
    with pytest.raises(ExportRefused, match="not finished"):
        asked_exports.note_download(bureau.pages, asked.id)
    bureau.remove(asked.id)
    bureau.console.finished(bureau.workflow)
    assert eventually(lambda: not bureau.listed(), 30)
    assert [*bureau.exports.iterdir()] == []
    (event,) = bureau.events("export_removed")
    assert (event["by"], event["sums"]) == ("eve", "none")
    assert bureau.by("audit_exported") == []
    # Another one can be asked for.
    bureau.sequence()
    bureau.ask()
    bureau.verified(bureau.finished())


def test_removed_when_a_worker_comes(bureau: Bureau) -> None:
    worker = bureau.start_worker()
    bureau.ask()
    done = bureau.finished()
    asked_exports.note_download(acting_as(bureau.pages, "bob"), done.id)
    assert worker.terminate() == 0
    bureau.remove(done.id)
    bureau.remove(done.id, by="another")
    assert bureau.place(done).is_dir()
    (shown,) = bureau.listed()
    assert shown.removed_by == "eve" and not shown.there
    with pytest.raises(ExportRefused, match="being removed"):
        asked_exports.note_download(bureau.pages, done.id)
    bureau.start_worker()
    assert eventually(lambda: not bureau.listed(), 30)
    assert [*bureau.exports.iterdir()] == []
    with pytest.raises(ExportRefused, match="no such export"):
        bureau.remove(done.id)
    for kind, who in (("export_downloaded", "bob"), ("export_removed", "eve")):
        (event,) = bureau.events(kind)
        assert (event["by"], event["sums"]) == (who, made(done).sums)
    bureau.console.finished(m.removing(str(done.id)))


def test_nobody_exports_or_removes_by_starting_a_workflow(bureau: Bureau) -> None:
    """Whoever takes over a web process can do that, and no more."""
    bureau.start_worker()
    bureau.start(tries=10)
    bureau.console.finished(bureau.workflow)
    assert [*bureau.exports.iterdir()] == []
    bureau.ask()
    done = bureau.finished()
    workflow = m.removing(str(done.id))
    started = bureau.console.client.start_workflow(
        m.REMOVE_EXPORT,
        str(done.id),
        id=workflow,
        task_queue=bureau.engine.env["VOTEPYRAMID_EXPORTING_TASK_QUEUE"],
    )
    bureau.console.run(started)
    bureau.console.finished(workflow)
    assert bureau.finished() == done and bureau.place(done).is_dir()


def test_what_cannot_be_asked_for(bureau: Bureau) -> None:
    for unknown in ("nothing", "NO", "..", "\0"):
        with pytest.raises(Refused) as refused:
            asked_exports.ask(bureau.pages, bureau.desk, unknown)
        assert refused.value.code is Code.ELECTION_UNKNOWN
    with bureau.election.sql() as db:
        db.execute(
            "UPDATE elections SET signed_manifest = (signed_manifest::jsonb #- "
            "'{manifest,signers,statements}')::text WHERE id = %s",
            (bureau.election.id,),
        )
    with pytest.raises(ExportRefused, match="no key for statements"):
        bureau.ask()
    with pytest.raises(ExportRefused, match="no such export"):
        bureau.remove(uuid.uuid4())
    assert bureau.listed() == []


def test_the_folders_group_reads_what_is_finished(bureau: Bureau) -> None:
    """The pages may run as another user, of a group that the folder is given to."""
    bureau.cast("v0")
    bureau.exports.chmod(0o750)
    bureau.start_worker(export_wait=60)
    bureau.ask()
    bureau.comes_to("log entries awaited")
    (asked,) = bureau.listed()
    assert modes(bureau.place(asked)) <= {0o600, 0o700}
    bureau.sequence()
    done = bureau.finished()
    assert modes(bureau.place(done)) == {0o640, 0o750}
    groups = {path.stat().st_gid for path in bureau.place(done).rglob("*")}
    assert groups == {bureau.exports.stat().st_gid}
    bureau.verified(done)
