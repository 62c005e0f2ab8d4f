"""The list of workflows that hold a vote, whoever writes to it and in which order."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from tests.support.elections import MadeElection
from votepyramid.votes import holding, service
from votepyramid.votes.service import Status

PENDING, REFUSED = Status(pending=True), Status(code="token_used")


class Vote:
    """One vote's row, and what its voter would be told."""

    def __init__(self, connection: Connection, election: str) -> None:
        self._connection, self._election = connection, election
        self.hash = secrets.token_hex(32)

    @property
    def status(self) -> Status | None:
        return service.status(self._connection, self._election, self.hash)

    def note(self, group: str) -> None:
        holding.note(self._connection, self._election, self.hash, group)

    def settle(self, workflow: str, code: str = holding.ENDED) -> None:
        holding.settle(self._connection, self.hash, workflow, code)

    def refuse(self, workflow: str) -> None:
        holding.refused(self._connection, [self.hash], workflow, "token_used")

    def hand_over(self, group: str) -> str:
        holding.hand_over(self._connection, self._election, [self.hash], group)
        return f"vote/{self.hash}"


@pytest.fixture
def vote(election: MadeElection) -> Iterator[Vote]:
    with election.engine.connect() as connection:
        yield Vote(connection, election.id)


def test_the_last_to_go_says_how_it_ended(vote: Vote) -> None:
    for group in ("a", "b", "c"):
        vote.note(group)
    vote.settle("b")
    vote.settle("b", "token_used")
    vote.refuse("c")
    assert vote.status == PENDING
    vote.settle("a")
    assert vote.status is None
    vote.settle("a", "token_used")
    assert vote.status is None


def test_a_note_after_the_decision_of_the_same_group_changes_nothing(
    vote: Vote,
) -> None:
    vote.note("a")
    vote.refuse("a")
    vote.note("a")
    assert vote.status == REFUSED
    vote.note("b")
    assert vote.status == PENDING


def test_a_refusal_at_once_leaves_no_row(vote: Vote) -> None:
    vote.refuse("a")
    assert vote.status is None


@pytest.mark.parametrize("noted_first", [True, False])
def test_handed_over_it_is_held_by_its_own_workflow(
    vote: Vote, noted_first: bool
) -> None:
    if noted_first:
        vote.note("a")
    child = vote.hand_over("a")
    vote.note("a")
    vote.settle("a")
    assert vote.status == PENDING
    # Sent again and refused by the database again, it is still one workflow.
    assert vote.hand_over("b") == child
    vote.refuse(child)
    assert vote.status == REFUSED


def test_a_row_of_code_that_knew_one_holder_only(
    vote: Vote, election: MadeElection
) -> None:
    vote._connection.exec_driver_sql(
        "INSERT INTO vote_groups (receipt_hash, election, group_id) "
        "VALUES (%s, %s, %s)",
        (vote.hash, election.id, "a"),
    )
    vote.settle("b")
    assert vote.status == PENDING
    vote.settle("a", "token_used")
    assert vote.status == REFUSED
