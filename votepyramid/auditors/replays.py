"""Every history of an export: replayed by this code, and held against votes and events.

The Replayer shows that this code goes the way that a history says. What was decided on
it is in the results of its steps, which replaying takes as they are; those are held
against receipts and audit events, which are signed and in the logs.
"""

from __future__ import annotations

from collections import Counter

from google.protobuf.json_format import ParseError

from votepyramid.auditors.case import Case, Discrepancy
from votepyramid.auditors.folder import FolderError, Reading
from votepyramid.auditors.gathering import name_of
from votepyramid.auditors.told import HistoryError, Told, read
from votepyramid.engine import replaying
from votepyramid.protocol.encoding import ProtocolError, strict_json

HISTORIES = "histories"
VOTES, CLAIMS = "votes and histories", "claims and histories"
STYLES = "votes and styles"
MAX_HISTORY = 128 * 1024 * 1024
# Histories that one process replays at a time: about a second.
CHUNK = 50


def check_histories(case: Case) -> None:
    """Replay all, on every core; then hold them against receipts and events."""
    names = case.reading.names(f"{HISTORIES}/")
    if case.unlinked and not names:
        gone = "gone by unlinking: check an export from before"
        case.held(HISTORIES, 0, gone, unchecked=True)
        return
    parts = (
        case.reading.part(names[at : at + CHUNK]) for at in range(0, len(names), CHUNK)
    )
    told, done = Told(), 0
    for part, problem, number in case.on_every_core(examine, parts, case.election):
        if problem is not None:
            raise Discrepancy(HISTORIES, problem)
        told.add(part)
        done += number
        case.tell(HISTORIES, done, len(names))
    case.cast, case.claimed = told.cast, told.claimed
    kinds = {"still run": told.running, "were ended early": told.ended_early}
    more = "".join(f", {number} {what}" for what, number in kinds.items() if number)
    case.held(HISTORIES, len(names), f"replayed by this code{more}")
    votes = {h.hex() for h in case.receipts}
    _compare(case, VOTES, votes, told.accepted, told.undecided)
    _compare(case, CLAIMS, case.issued, told.issued, told.undecided)
    _compare_styles(case, told)


def examine(reading: Reading, election: str) -> tuple[Told, str | None, int]:
    """What all its histories tell; what is wrong with the first bad one; how many."""
    told = Told()
    documents = []
    for name in reading.listed:
        try:
            document = strict_json(reading.unpack(name), MAX_HISTORY)
            run, one = read(document, election)
        except (ProtocolError, HistoryError, FolderError) as error:
            return told, f"{name}: {error}", 0
        if name_of(run) != name:
            return told, f"{name} is the history of another run", 0
        told.add(one)
        documents.append(document)
    try:
        failed = replaying.replay(documents)
    except ParseError:
        return told, f"a history of {documents[0]['workflow_id']} or after is none", 0
    for workflow, problem in failed.items():
        return told, f"{workflow} does not replay: {problem}", 0
    return told, None, len(documents)


def _compare(
    case: Case, check: str, there: set[str], decided: set[str], undecided: set[str]
) -> None:
    """Each came through a workflow that decided so, and none that did is gone.

    A step can commit in a workflow that is ended before it notes so.
    """
    strange = there - decided - undecided
    lost = decided - there
    for found, problem in (
        (strange, "came through no workflow: slipped in, or its history is lost"),
        (lost, "was granted by a workflow, and is gone"),
    ):
        if found and case.final:
            raise Discrepancy(check, f"{min(found)} {problem} ({len(found)} in all)")
    came = len(there & decided)
    if came == len(there) and not lost:
        case.held(check, came, "came through a workflow")
        return
    rest = f"{len(there) - came} without a decision yet, {len(lost)} since the counts"
    case.held(
        check, came, f"of {len(there)} came through a workflow; {rest}", unchecked=True
    )


def _compare_styles(case: Case, told: Told) -> None:
    """A token is for ballots of one style: none has more votes than tokens."""
    if changed := told.restyled & case.issued:
        raise Discrepancy(
            STYLES, f"the token of {min(changed)} was of one style, and then of another"
        )
    issued = Counter(style for p, style in told.styles.items() if p in case.issued)
    # Their history does not say of which style.
    unknown = len(case.issued & told.undecided)
    for style, votes in sorted(case.styles.items()):
        if votes <= issued[style] + unknown:
            continue
        said = (
            f"{votes} ballots are of style {style}, for which {issued[style]} tokens "
            "were issued"
        )
        if case.final:
            raise Discrepancy(STYLES, said)
        # Temporal lists a claim's workflow late.
        case.held(STYLES, len(case.styles), said, unchecked=True)
        return
    case.held(STYLES, len(case.styles), "of no style more ballots than tokens")
