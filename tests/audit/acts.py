"""One act of each kind on elections, votes and keys: what is done, and where it shows.

`acts_on_people.py` has those on people.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from tests.audit.stage import BANNED, VOTER, Act, Stage, but
from tests.support.elections import Listed, prepared_beside
from tests.support.faults import events_refused
from tests.support.voting import OTHER_SELECTIONS
from votepyramid.audit import asked_exports
from votepyramid.custody import destroying
from votepyramid.custody.rewrapping import Rewrapping
from votepyramid.elections import ceremony, closing, unlinking
from votepyramid.elections.finishing import NotYet
from votepyramid.elections.service import Manifests
from votepyramid.engine.control import TemporalAway
from votepyramid.orders import service as orders
from votepyramid.orders.what import CloseEarly
from votepyramid.tokens import none_issued
from votepyramid.votes import holding, settling

WHY = "asked for by the election office"


@dataclass(frozen=True)
class Driven:
    """An act of one kind: `arrange` prepares it and gives what does it.

    It changes `table`; `before` are tables that it changes in an earlier transaction,
    which stands when the act itself cannot be done.
    """

    table: str
    arrange: Callable[[Stage], Act]
    before: frozenset[str] = frozenset()


def _prepared(stage: Stage) -> Act:
    return lambda: prepared_beside(stage.election, "other")


def _created(stage: Stage) -> Act:
    signed, authority = prepared_beside(stage.election, "other")
    return lambda: ceremony.create(stage.owner, signed, authority)


def _roster(stage: Stage) -> Act:
    return lambda: stage.election.import_roster([Listed(VOTER)])


def _opened(stage: Stage) -> Act:
    other = stage.another()
    return lambda: ceremony.open_election(stage.owner, other.id)


def _asked_to_close(stage: Stage) -> Act:
    def ask() -> None:
        closing.start_or_join(stage.by("ada"), stage.desk, stage.election.id)

    return but(TemporalAway, ask)


def _called_off(stage: Stage) -> Act:
    _asked_to_close(stage)()
    return lambda: closing.cancel(stage.by("ada"), stage.desk, stage.election.id)


def _closed(stage: Stage) -> Act:
    return lambda: ceremony.close(stage.owner, stage.election.id, early=True)


def _settled(stage: Stage) -> Act:
    """A vote whose workflow was terminated: Temporal knows nothing of it."""
    with stage.owner.begin() as connection:
        holding.note(connection, stage.election.id, "ab" * 32, "votes/gone")
    settings, election = stage.settings, stage.election.id
    return lambda: settling.settle(stage.by("ada"), settings, election)


def _finished(stage: Stage) -> Act:
    stage.election.close()
    stage.election.pass_grace()
    with pytest.raises(NotYet):
        stage.election.finish()
    stage.sequence()
    return stage.election.finish


def _unlinked(stage: Stage) -> Act:
    _finished(stage)()
    return lambda: unlinking.unlink(
        stage.owner, stage.election.id, dispute_days=0, without_export=True
    )


def _order(stage: Stage) -> Act:
    return lambda: orders.give(stage.by("ada"), stage.election.id, CloseEarly(), WHY)


def _decided(by: str, decide: Callable[..., None]) -> Callable[[Stage], Act]:
    def arrange(stage: Stage) -> Act:
        stage.add("bea", "administrator")
        order = orders.give(stage.by("ada"), stage.election.id, CloseEarly(), WHY)
        return lambda: decide(stage.by(by), order)

    return arrange


def _agree(engine: Engine, order: UUID) -> None:
    orders.agree(engine, order, apart=timedelta())


def _stopped(stage: Stage) -> Act:
    stage.add("bea", "administrator")
    order = orders.give(stage.by("ada"), stage.election.id, CloseEarly(), WHY)
    _agree(stage.by("bea"), order)
    return lambda: orders.stop(stage.by("bea"), order)


def _none_issued(stage: Stage) -> Act:
    _finished(stage)()
    e = stage.election
    fixed = Manifests(stage.owner).get(e.id)
    return lambda: none_issued.state(stage.room.engine, e.keys, e.id, fixed, VOTER)


def _accepted(stage: Stage) -> Act:
    _data_key(stage)
    bearer = stage.token()
    ballot = stage.sealed(bearer)
    return lambda: stage.cast(bearer, ballot)


def _data_key(stage: Stage) -> None:
    """A worker's key is stored before the first vote that it is for is decided."""
    stage.election.keys.data_key(stage.election.id, 1)


def _refused(stage: Stage) -> Act:
    bearer = stage.token()
    ballot = stage.sealed(bearer, style="south")
    return lambda: stage.cast(bearer, ballot)


def _reused(stage: Stage) -> Act:
    _accepted(stage)()
    bearer = stage.token()
    ballot = stage.sealed(bearer, OTHER_SELECTIONS)
    return lambda: stage.cast(bearer, ballot)


def _rewrapped(stage: Stage) -> Act:
    ring = stage.ring
    ring.make("newer", lambda: None)
    again = Rewrapping(stage.keeper, ring, ring.names.current)
    return lambda: again.batch(None, 100)


def _retired(stage: Stage) -> Act:
    old = stage.ring.names.current
    _rewrapped(stage)()
    return lambda: destroying.destroy(stage.owner, stage.ring.names, stage.ring, old)


def _destroyed(stage: Stage) -> Act:
    """Destroyed before, and cut off when that was to be noted."""
    destroy = _retired(stage)
    with events_refused(stage.database.owner_url, "kek_destroyed"):
        but(DBAPIError, destroy)()
    return destroy


def _asked_to_export(stage: Stage) -> Act:
    def ask() -> None:
        asked_exports.ask(stage.by("ada"), stage.desk, stage.election.id)

    return but(TemporalAway, ask)


def _export_removed(stage: Stage) -> Act:
    _asked_to_export(stage)()
    with stage.owner.connect() as connection:
        (asked,) = asked_exports.listed(connection)

    def remove() -> None:
        asked_exports.remove(stage.by("ada"), stage.desk, asked.id)

    return but(TemporalAway, remove)


DRIVEN = {
    "election_prepared": Driven("wrapped_keys", _prepared),
    "key_made": Driven("wrapped_keys", _prepared),
    "election_created": Driven("elections", _created),
    "roster_imported": Driven("roster_versions", _roster),
    "election_opened": Driven("elections", _opened),
    "closing_asked": Driven("election_closings", _asked_to_close),
    "closing_called_off": Driven("election_closings", _called_off),
    "election_closed": Driven("elections", _closed),
    "votes_settled": Driven("vote_groups", _settled),
    "election_finished": Driven("elections", _finished),
    "election_unlinked": Driven("elections", _unlinked),
    "order_given": Driven("orders", _order),
    "order_agreed": Driven("orders", _decided("bea", _agree)),
    "order_declined": Driven("orders", _decided("bea", orders.decline)),
    "order_withdrawn": Driven("orders", _decided("ada", orders.decline)),
    "order_stopped": Driven("orders", _stopped),
    "token_issued": Driven("vote_tokens", lambda s: lambda: s.claim(VOTER)),
    "claim_refused": Driven("claim_refusals", lambda s: lambda: s.claim(BANNED)),
    "export_asked": Driven("asked_exports", _asked_to_export),
    "export_removed": Driven("asked_exports", _export_removed),
    "none_issued": Driven("none_issued", _none_issued),
    "vote_accepted": Driven("vote_submissions", _accepted),
    "vote_refused": Driven("vote_submissions", _refused),
    "token_reused": Driven("vote_tokens", _reused),
    "keys_rewrapped": Driven("wrapped_keys", _rewrapped),
    "kek_retired": Driven("retired_keks", _retired),
    "kek_destroyed": Driven("retired_keks", _destroyed),
}
# What describes nothing that stands in the database.
ELSEWHERE = {
    "audit_exported": "a folder of files: written when it is whole",
    "export_downloaded": "bytes that are sent: written before the first of them",
    "checkpoint_adopted": "a file in the folder of checkpoints: written just before",
    "votes_complete": "what is about to be signed: a sequencer confirms it",
    "kek_announced": "a key file or a KMS: written before; tests/custody",
    "kek_rotated": "a key file: announced before; tests/custody",
    "kek_made": "a KMS: announced before; tests/custody",
    **dict.fromkeys(
        (
            "work_retried",
            "work_paused",
            "work_resumed",
            "work_canceled",
            "work_terminated",
            "work_reset",
            "work_unanswered",
        ),
        "an act of Temporal's: written before; tests/work",
    ),
    **dict.fromkeys(
        ("junk_refused", "untimely_refused", "untimely_claims_refused"),
        "counts in memory, kept until they are written; test_events.py",
    ),
}
