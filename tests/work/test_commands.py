"""`votepyramid work`: a stuck vote is found, its steps read, its fate told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.support.elections import MadeElection
from tests.support.faults import Console, poisoned, token_held, wait_until_blocked
from tests.support.processes import eventually
from tests.support.together import cast_together
from tests.support.voting import Door
from tests.work.conftest import CONSOLE, Run, said
from votepyramid.tokens.models import VoteToken
from votepyramid.votes.models import VoteSubmission

TABLE = VoteSubmission.__tablename__


def _wheres(shown: dict[str, Any]) -> dict[str, str]:
    return {fate["receipt_hash"]: fate["where"] for fate in shown["meaning"]["votes"]}


def _ids(run: Run, *options: str) -> list[str]:
    listed = said(run("list", *options, "--json"))
    return [one["workflow_id"] for one in listed["workflows"]]


def test_a_stuck_vote_is_found_and_read(
    door: Door, election: MadeElection, run: Run
) -> None:
    decoy, bad, good = (door.ballot(f"v{n}") for n in range(3))
    child = f"vote/{bad.receipt_hash}"
    stuck = ("--election", election.id, "--needs-attention")
    with poisoned(
        election, TABLE, "receipt_hash", bad.receipt_hash, "NEW.receipt_hash"
    ) as mend:
        answers = [answer for answer, _ in cast_together(door, decoy, [bad, good])]
        assert [answer.status_code for answer in answers] == [202, 200]
        assert eventually(lambda: _ids(run, *stuck) == [child])
        listed = said(run("list", *stuck, "--json"))
        assert (listed["counts"], listed["needs_attention"]) == ({"running": 1}, 1)
        at_step = (*stuck[:2], "--step")
        assert eventually(lambda: _ids(run, *at_step, "record_votes") == [child])
        assert _ids(run, *at_step, "encrypt_ballots") == []

        def tried() -> dict[str, Any]:
            shown = said(run("show", bad.receipt_hash, "--json"))
            return shown if shown["steps"][-1]["attempts"] >= 2 else {}

        assert eventually(tried)
        shown = tried()
        assert shown["workflow_id"] == child
        assert shown["needs_attention"]
        steps = {step["name"]: step for step in shown["steps"]}
        assert [step["name"] for step in shown["steps"]] == [
            "check_eligibility",
            "encrypt_ballots",
            "record_votes",
        ]
        assert steps["check_eligibility"]["state"] == "done"
        assert steps["check_eligibility"]["seconds"] > 0
        record = steps["record_votes"]
        assert record["state"] in ("waiting", "running")
        assert record["ended_at"] is None
        assert record["failure"] == (
            "the database refused or did not answer: RaiseException (P0001)"
        )
        assert shown["link"].startswith(f"{CONSOLE}/namespaces/default/workflows/vote%")
        assert _wheres(shown) == {bad.receipt_hash: "here"}
        # To be tried at once only while it waits.
        acts = set(shown["meaning"]["acts"]) - {"retry"}
        assert acts == {"wait", "pause", "cancel", "terminate", "reset"}
        assert "as if never sent" in shown["meaning"]["acts"]["terminate"]

        group = said(run("show", shown["came_from"], "--json"))
        assert (group["state"], group["went_on"]) == ("completed", [child])
        assert all(step["local"] for step in group["steps"])
        assert [step["name"] for step in group["steps"]] == list(steps)
        assert _wheres(group) == {
            bad.receipt_hash: "elsewhere",
            good.receipt_hash: "recorded",
        }
        assert group["meaning"]["acts"] == {}
        mend()
        assert eventually(lambda: election.counts().accepted == 3, 20)
    after = said(run("show", bad.receipt_hash, "--json"))
    assert after["workflow_id"] == child
    assert _wheres(after) == {bad.receipt_hash: "recorded"}
    text = run("show", child).output
    assert "record_votes: done" in text and "1 vote: 1 recorded." in text


def test_a_vote_that_an_operator_ended(
    door: Door, election: MadeElection, run: Run, console: Console
) -> None:
    bad = door.ballot("v0")
    child = f"vote/{bad.receipt_hash}"
    with poisoned(election, TABLE, "receipt_hash", bad.receipt_hash):
        assert door.cast(bad).status_code == 202
        assert eventually(lambda: console.needing_attention() == [child])
        console.run(console.handle(child).terminate(reason="the office said so"))
    shown = said(run("show", bad.receipt_hash, "--json"))
    assert shown["state"] == "terminated"
    assert shown["end"].endswith(": the office said so")
    assert not shown["needs_attention"]
    assert shown["meaning"]["said"] == "1 vote: 1 as if never sent."
    assert shown["meaning"]["acts"] == {}
    assert child in _ids(run, "--election", election.id, "--state", "terminated")
    # It is as it was said: sent again, the vote is recorded.
    assert door.cast(bad).status_code == 200
    assert said(run("show", bad.receipt_hash, "--json"))["others"] == []


def test_a_step_that_hangs(
    door: Door, election: MadeElection, run: Run, console: Console
) -> None:
    """Before its steps are in the history, and before the vote is in any table."""
    ballot = door.ballot("v0")
    query = f"WorkflowType = 'submit_votes' AND ElectionId = '{election.id}'"
    with ThreadPoolExecutor(1) as thread:
        with token_held(election, ballot.bearer):
            held = thread.submit(door.cast, ballot)
            wait_until_blocked(election)
            group = console.new_workflow_id(query)
            shown = said(run("show", group, "--json"))
            assert shown["state"] == "running"
            assert shown["meaning"]["said"] == "1 vote: 1 only here."
        assert held.result().status_code == 200
    assert _wheres(said(run("show", group, "--json"))) == {
        ballot.receipt_hash: "recorded"
    }


def test_claims_are_counted_and_nobody_is_named(
    door: Door, election: MadeElection, run: Run, console: Console
) -> None:
    door.ballot("v0")
    (group,) = console.workflow_ids(f"ElectionId = '{election.id}'", "CLAIM")
    shown = run("show", group, "--json")
    meaning = said(shown)["meaning"]
    assert (meaning["claims"], meaning["issued"]) == (1, 1)
    with election.sql() as db:
        query = f'SELECT "user" FROM {VoteToken.__tablename__} WHERE election = %s'
        ((ref,),) = db.execute(query, [election.id]).fetchall()
    for text in (shown.output, run("show", group).output, run("list").output):
        assert str(ref) not in text


def test_what_is_not_there_is_said(election: MadeElection, run: Run) -> None:
    for name, words in (
        ("votes/none", "work list"),
        ("ab" * 32, "no workflow is noted"),
        ("", "1 to 1000"),
    ):
        refused = said(run("show", name, "--json"), 1)
        assert words in refused["error"]
    assert "Error: no such place" in run("list", "--after", "AAAA").stderr
    assert run("list", "--election", "it's").exit_code == 1
