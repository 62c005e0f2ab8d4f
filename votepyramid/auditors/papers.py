"""The papers of an export: its seal, the manifest, counts, the closing statement."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from typing import Any

from votepyramid.audit.kinds import AFTER_END, KINDS
from votepyramid.auditors.case import Case, Discrepancy, Row, TooEarly
from votepyramid.auditors.folder import ELECTION, Reading
from votepyramid.auditors.outside import Outside, authority_key, published_hash
from votepyramid.protocol import manifest as manifests
from votepyramid.protocol.absence import TagTree
from votepyramid.protocol.encoding import ProtocolError, strict_json
from votepyramid.protocol.identifiers import manifest_hash
from votepyramid.protocol.statements import open_closing

MANIFEST, CLOSING = "manifest.json", "statements/closing"
CHECK, KEPT = "closing statement", "your closing statement"
# Whoever may add events may add many kinds of them.
MAX_ABOUT = 16 * 1024 * 1024
SOME = 10
AGAIN = "let the sequencer run, and have it exported again"
_ABOUT = {"authority", "counts", "id", "manifest_hash", "status", "v"}
# Of the closing statement; an export has more (elections/counting.py).
_STATED = ("eligible", "issued", "used", "votes")
_NUMBERS = (*_STATED, "tokens")
_LOGS = {"audit-log", "receipt-log"}


def open_manifest(
    reading: Reading, outside: Outside, rows: list[Row]
) -> tuple[manifests.Manifest, dict[str, Any]]:
    """The manifest, and what the export says of the election.

    Adds to `rows`. Raises Discrepancy unless authority and engine signed for them.
    Without the authority's key from elsewhere the one that the export names is taken.
    The row says so, unless the manifest's hash is from elsewhere.
    """
    began = time.monotonic()
    about = _about(strict_json(reading.read(ELECTION), MAX_ABOUT))
    key = authority_key(outside, about["authority"])
    try:
        signed = manifests.load_signed(reading.read(MANIFEST))
        manifest = manifests.open_manifest(signed, key)
        statements = manifests.signer(manifest, "statements")
        origin, _ = manifests.receipt_key(manifest)
    except ProtocolError as error:
        raise Discrepancy("manifest", error.problem) from None
    m, published = manifest_hash(manifest), published_hash(outside)
    if published not in (None, m):
        raise Discrepancy(
            "manifest",
            f"its hash is {m.hex()}, not the one that you gave: it is another "
            "election's, or not as it was published",
        )
    opened = time.monotonic()
    reading.check_seal(origin, m, statements)
    reading.check_files()
    sealed = time.monotonic()
    if (about["id"], about["manifest_hash"]) != (manifest["id"], m.hex()):
        raise Discrepancy("files", f"{ELECTION} is of another election")
    row = _manifest_row(key.name, outside)
    which = {"election": str(manifest["id"]), "manifest_hash": m.hex()}
    count, found = len(reading.listed), "as the engine signed their list"
    rows += [
        Row("files", count, found, sealed - opened),
        replace(row, seconds=opened - began, about=which),
    ]
    return manifest, about


def _manifest_row(signed_by: str, outside: Outside) -> Row:
    found = f"signed by {signed_by}"
    if outside.manifest_hash is not None:
        return Row("manifest", 1, f"{found}; its hash is the one that you gave")
    if outside.authority is not None:
        return Row("manifest", 1, found)
    asked = "check with --authority or --manifest-hash"
    return Row("manifest", 1, f"{found}, as the export says: {asked}", unchecked=True)


def check_closing(case: Case) -> None:
    """The closing statement is there when it has to be, and is of these very logs."""
    ended = case.finished is not None or case.about["status"] in (
        "finished",
        "unlinked",
    )
    if not case.reading.has(CLOSING):
        if ended or case.kept.closing is not None:
            raise Discrepancy(CHECK, "the election is finished, and it is gone")
        case.held(CHECK, 0, "none: the election is not finished", unchecked=True)
        return
    note = case.reading.read(CLOSING)
    _check_statement(case, note)
    case.final = True
    named = _named(case, hashlib.sha256(note).hexdigest())
    found = "counts and trees are those of the export"
    if not named:
        found += "; its event waits for the audit log"
    case.held(CHECK, 1, found, unchecked=not named)
    if case.kept.closing is not None:
        case.held(KEPT, 1, "says the same as the export's")


def _named(case: Case, digest: str) -> bool:
    """Whether the audit log names the statement, or not yet. Raises Discrepancy."""
    if case.finished == digest:
        return True
    if case.finished is not None:
        raise Discrepancy(CHECK, "is not the one that the audit log names")
    # That as many wait as are lacking is a check of its own.
    if case.counts["events"].get("election_finished", 0) != 1:
        raise Discrepancy(CHECK, "is named neither by the audit log nor by any event")
    case.early = TooEarly(
        CHECK,
        "this export was made too early: the event that names the statement was not "
        f"in the published audit log yet; {AGAIN}",
    )
    return False


def _check_statement(case: Case, note: bytes) -> None:
    key = manifests.signer(case.manifest, "statements")
    try:
        said = open_closing(note.decode("utf-8", "replace"), case.origin, case.m, key)
        said.reconcile()
        tags = TagTree(case.tags)
    except ProtocolError as error:
        raise Discrepancy(CHECK, error.problem) from None
    if case.kept.closing not in (None, said):
        raise Discrepancy(CHECK, "is another than the one you kept")
    if (said.tags.size, said.tags.root) != (tags.size, tags.root):
        raise Discrepancy(CHECK, "its tree of tags is not made of the log's")
    if (said.log.size, said.log.root) != (len(case.leaves), case.root):
        raise Discrepancy(CHECK, "it was signed for another receipt log")
    for name in _STATED:
        if getattr(said, name) != case.counts[name]:
            raise Discrepancy(
                CHECK,
                f"says {name} {getattr(said, name)}, and {case.counts[name]} are there",
            )


def check_counts(case: Case) -> None:
    """eligible >= issued >= used = votes = receipts, and an event for each."""
    counts, events = case.counts, case.counts["events"]
    for larger, smaller in (("eligible", "issued"), ("issued", "used")):
        if counts[larger] < counts[smaller]:
            raise Discrepancy("counts", f"more {smaller} than {larger}")
    pairs = {
        "votes": (counts["used"], counts["votes"]),
        "receipts": (counts["votes"], len(case.receipts)),
        "events of accepted votes": (counts["votes"], events.get("vote_accepted", 0)),
        "events of issued tokens": (counts["tokens"], events.get("token_issued", 0)),
    }
    if case.events.get("token_issued", 0) == events.get("token_issued", 0):
        pairs["voters with a token"] = (len(case.issued), counts["issued"])
    for what, (wanted, found) in pairs.items():
        if wanted != found:
            raise Discrepancy("counts", f"{found} {what}, where {wanted} are due")
    waiting = _check_events(case)
    _check_unlinked(case)
    _check_eligible(case)
    asked = f"; {waiting} events wait for the audit log" if waiting else ""
    case.held(
        "counts",
        counts["votes"],
        f"eligible {counts['eligible']} >= issued {counts['issued']} >= used = votes = "
        f"receipts = accepted events{asked}",
        unchecked=bool(waiting),
    )


def _check_eligible(case: Case) -> None:
    """As many as the newest roster's event says, unless one waits for its log."""
    logged = case.events.get("roster_imported", 0)
    if logged != case.counts["events"].get("roster_imported", 0):
        return
    version = max(case.rosters, default=0)
    said, counted = case.rosters.get(version, 0), case.counts["eligible"]
    if said != counted:
        raise Discrepancy(
            "counts",
            f"eligible are {counted} voters, and {said} by the event of the newest "
            f"roster, version {version}",
        )


def _check_unlinked(case: Case) -> None:
    """Only of an unlinked election histories may be gone: an event has to say so."""
    counted = case.counts["events"].get("election_unlinked", 0)
    if counted != (case.about["status"] == "unlinked"):
        raise Discrepancy(
            "counts",
            f"the election is {case.about['status']}, with {counted} events "
            "election_unlinked",
        )


def _check_events(case: Case) -> int:
    """How many events wait for their log."""
    counted = case.counts["events"]
    for kind, number in case.events.items():
        if number > counted.get(kind, 0):
            raise Discrepancy("counts", f"events {kind} are gone from the database")
    behind = sum(counted.values()) - sum(case.events.values())
    waiting = int(case.counts["unpublished"]["audit-log"])
    if behind != waiting:
        raise Discrepancy(
            "counts",
            f"{behind} events are not in the audit log, and {waiting} wait for it",
        )
    late = sum(counted.get(kind, 0) - case.events.get(kind, 0) for kind in AFTER_END)
    if case.final and waiting > late and case.early is None:
        case.early = TooEarly(
            "counts",
            f"this export was made too early: the election is finished, and "
            f"{waiting - late} events of it were in no published checkpoint; {AGAIN}",
        )
    strangers = case.accepted - {h.hex() for h in case.receipts}
    if strangers:
        raise Discrepancy("counts", f"an event accepts {min(strangers)}: no such vote")
    return waiting


def check_kinds(case: Case) -> None:
    """Which kinds of events there are, those that wait too; all should be known.

    The application may add events of any kind, and so may who takes it over.
    """
    kinds = dict(sorted(case.counts["events"].items()))
    unknown = [kind for kind in kinds if kind not in KINDS]
    found = f"{len(kinds)} kinds, all known"
    if unknown:
        some = ", ".join(f"{kind} {kinds[kind]}" for kind in unknown[:SOME])
        more = f" and {len(unknown) - SOME} more" if len(unknown) > SOME else ""
        found = f"unknown to this version: {some}{more}"
    total = sum(kinds.values())
    case.held("kinds of events", total, found, unchecked=bool(unknown), kinds=kinds)


def _about(value: Any) -> dict[str, Any]:
    """Raises Discrepancy unless it has the form that an export gives it."""
    fine = isinstance(value, dict) and set(value) == _ABOUT
    fine = fine and all(
        isinstance(value[name], str) for name in _ABOUT - {"counts", "v"}
    )
    counts = value["counts"] if fine else None
    fine = (
        isinstance(counts, dict)
        and set(counts) == {*_NUMBERS, "events", "unpublished"}
        and _numbers(counts["events"])
        # What is not there is not counted.
        and all(counts["events"].values())
        and _numbers(counts["unpublished"])
        and set(counts["unpublished"]) == _LOGS
        and _numbers({name: counts[name] for name in _NUMBERS})
    )
    if not fine:
        raise Discrepancy("files", f"{ELECTION} has not the form of an export's")
    return dict(value)


def _numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(
        type(number) is int and number >= 0 for number in value.values()
    )
