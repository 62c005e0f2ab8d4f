"""What is counted of an election: each number has one meaning, whoever states it.

The closing statement, an export and its verification compare these numbers; were they
counted in several places, they could differ where nothing is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Select, func, select

from votepyramid.eligibility.models import Voter
from votepyramid.tokens.models import VoteToken
from votepyramid.votes.models import VoteSubmission


@dataclass(frozen=True)
class Counts:
    """Rows of one election.

    `eligible` are the voters that any version of the roster named. `issued` are the
    voters to whom a token was issued, each once, whatever was revoked or issued again;
    `tokens` the tokens themselves, so that each is an event `token_issued`. `used` are
    the tokens used, `votes` the accepted ballots.
    """

    eligible: int
    issued: int
    tokens: int
    used: int
    votes: int


def eligible(connection: Connection, election: str) -> int:
    """As in `Counts`."""
    query = select(func.count()).where(Voter.election == election)
    return connection.execute(query).scalar_one()


def count(connection: Connection, election: str) -> Counts:
    """All of them, of one moment if the transaction's isolation gives one."""

    def one(query: Select[tuple[int]]) -> int:
        return connection.execute(query).scalar_one()

    of_tokens = VoteToken.election == election
    accepted = VoteSubmission.status == "accepted"
    return Counts(
        eligible=eligible(connection, election),
        issued=one(select(func.count(VoteToken.user.distinct())).where(of_tokens)),
        tokens=one(select(func.count()).where(of_tokens)),
        used=one(select(func.count()).where(of_tokens, VoteToken.used)),
        votes=one(
            select(func.count()).where(VoteSubmission.election == election, accepted)
        ),
    )
