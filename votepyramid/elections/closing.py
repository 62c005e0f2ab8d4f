"""Having an election closed: asking for it, watching it, calling it off.

For operators' commands and the administrators' pages. What is asked for stands in the
database; a workflow does it, on a worker of the role `closing`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, and_, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from votepyramid.audit import service as audit
from votepyramid.audit.operators import who
from votepyramid.elections import ending, finishing, service
from votepyramid.elections.ceremony import CeremonyError
from votepyramid.elections.models import ElectionClosing
from votepyramid.elections.service import ElectionView
from votepyramid.engine import closing as workflow
from votepyramid.engine.control import Desk, TemporalAway
from workflows import messages as m

_NOBODY = "no worker answers: start one with `votepyramid worker --role closing`"


_TITLES = {
    m.NOT_ASKED: "Not asked for",
    m.ANNOUNCED: "Open",
    m.GRACE: "Closed, last ballots",
    m.VOTES: "Votes under way",
    m.LOG: "Waiting for the log",
    m.SIGNING: "Signing",
    m.FINISHED: "Finished",
}


@dataclass(frozen=True)
class Closing:
    """Where the end of an election stands.

    `phase` is one of those in `workflows.messages`, `until` when the clock ends it,
    `waiting_for` a sentence. `asked_by` is who wants it closed, None when nobody does.
    `running` when a workflow is at it; `answering` when a worker is, too.
    """

    phase: str
    until: datetime | None
    waiting_for: str
    asked_by: str | None
    early: bool
    running: bool
    answering: bool
    needs_attention: bool

    @property
    def title(self) -> str:
        """The phase as people read it."""
        return _TITLES[self.phase]


def start_or_join(
    engine: Engine,
    desk: Desk,
    election: str,
    *,
    early: bool = False,
    reason: str | None = None,
    second: str | None = None,
) -> None:
    """Have an election closed and finished, at its announced time or `early`, at once.

    Asked again, it joins what is under way; nothing happens when it is finished. Who
    asks is whom `engine` acts for, `second` who agreed. Raises
    Refused(ELECTION_UNKNOWN), CeremonyError for an election that cannot be closed, and
    TemporalAway: then it is asked for, and asking again starts it.
    """
    if _ask(engine, election, early, audit.why(reason, second)):
        workflow.start_or_join(desk, election)


def cancel(engine: Engine, desk: Desk, election: str) -> None:
    """Call a closing off, before the election is closed.

    Raises Refused(ELECTION_UNKNOWN), and CeremonyError when it is too late or when
    nobody asked. Without Temporal it holds as well: what nobody asks for is not done.
    """
    with _deciding(engine, election) as (connection, view, now):
        if view.status != "open" or now >= view.closes_at:
            raise _too_late(view)
        gone = connection.execute(
            delete(ElectionClosing).where(ElectionClosing.election == election)
        )
        if not gone.rowcount:
            raise CeremonyError(f"nobody asks for election {election!r} to be closed")
        audit.append(connection, election, [audit.Event("closing_called_off")])
    try:
        workflow.look_again(desk, election)
    except TemporalAway:
        # It finds out by itself when it looks, at the announced time at the latest.
        return


def state(engine: Engine, desk: Desk, election: str) -> Closing:
    """Where it stands, as the workflow says, or as the database does while none says.

    Raises Refused(ELECTION_UNKNOWN) and TemporalAway.
    """
    said = workflow.told(desk, election)
    # Asked second: what ended in between is seen to have ended.
    with engine.connect() as connection:
        seen = ending.look(connection, election)
        wish = ending.asked(connection, election)
    over = seen.phase in (m.FINISHED, m.NOT_ASKED)
    shown: m.ClosingState | m.ClosingSeen = seen
    waiting_for = seen.waiting_for
    if not over and said is not None and said.state is not None:
        shown, waiting_for = said.state, said.state.waiting_for
    elif not over and wish is not None:
        waiting_for = _NOBODY if said is not None else _started_by(election)
    return Closing(
        phase=shown.phase,
        until=datetime.fromisoformat(shown.until) if shown.until else None,
        waiting_for=waiting_for,
        asked_by=wish.asked_by if wish is not None else None,
        early=wish is not None and wish.early,
        running=said is not None,
        answering=said is not None and said.state is not None,
        needs_attention=said is not None and said.needs_attention,
    )


def _ask(engine: Engine, election: str, early: bool, why: dict[str, str]) -> bool:
    """Write that it is to be closed; whether there is anything left to do."""
    with _deciding(engine, election) as (connection, view, _):
        if view.status == "finished":
            return False
        if view.status in ("created", "unlinked"):
            raise CeremonyError(f"election {election!r} is {view.status}, not open")
        if not finishing.states(view):
            raise CeremonyError(
                f"election {election!r} was signed before closing statements were "
                "made: close it with --by-hand; it can be unlinked as it is"
            )
        # In one statement: of two who ask at once, the one who wants it early has it.
        wanted = insert(ElectionClosing).values(
            election=election, early=early, asked_by=who(connection)
        )
        new = wanted.excluded
        changed = connection.execute(
            wanted.on_conflict_do_update(
                index_elements=["election"],
                set_={"early": new.early, "asked_by": new.asked_by},
                where=and_(new.early, ~ElectionClosing.early),
            ).returning(ElectionClosing.election)
        )
        if changed.first() is not None:
            event = audit.Event("closing_asked", detail={"early": early, **why})
            audit.append(connection, election, [event])
    return True


def _too_late(view: ElectionView) -> CeremonyError:
    if view.status == "created":
        return CeremonyError(f"nobody asks for election {view.id!r} to be closed")
    return CeremonyError(
        f"election {view.id!r} takes no claims any more, since "
        f"{service.ends_at(view):%Y-%m-%dT%H:%M:%SZ}: its closing cannot be called off"
    )


@contextmanager
def _deciding(
    engine: Engine, election: str
) -> Iterator[tuple[Connection, ElectionView, datetime]]:
    """A transaction, the election as it stands, and the clock.

    Whoever asks may not hold the election's row. The database does it for them when
    the request is written, and refuses what comes too late by then.
    """
    try:
        with engine.begin() as connection:
            view = service.get(connection, election)
            now = connection.execute(select(func.clock_timestamp())).scalar_one()
            yield connection, view, now
    except IntegrityError:
        raise CeremonyError(
            f"election {election!r} was closed at this very moment: see where it stands"
        ) from None


def _started_by(election: str) -> str:
    return f"no workflow is at it: run `votepyramid election close {election}`"
