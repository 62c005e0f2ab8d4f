"""After `unlink` nothing in the tables joins a voter to a ballot."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from tests.elections.ceremonies import Office, refs
from votepyramid.audit import exports
from votepyramid.elections import ceremony, service, unlinking
from votepyramid.elections.ceremony import CeremonyError
from votepyramid.elections.unlinking import unlink
from votepyramid.errors import Code
from votepyramid.keys.service import ElectionKeys, KeyMissing
from votepyramid.protocol import identifiers

VOTERS = 60


@dataclass(frozen=True)
class Cast:
    """Who cast what: known to this test alone."""

    voter_id: str
    ref: uuid.UUID
    receipt_hash: str


def hold_election(office: Office, election: str = "spring") -> list[Cast]:
    """An election in which 60 voters claimed and cast one after the other."""
    made = office.create(id=election)
    office.roster(election, [f"v{n},N 1,false,30,x" for n in range(VOTERS)])
    view = ceremony.open_election(office.owner, election)
    known = refs(office, election)
    issuance = office.keys.issuance(election)
    casts = []
    for n in range(VOTERS):
        voter_id = f"v{n}"
        b = identifiers.bearer(issuance, election, made.manifest_hash, voter_id, 0)
        d = identifiers.token_id(election, made.manifest_hash, b)
        t = identifiers.token_tag(election, made.manifest_hash, b)
        at = view.opens_at + timedelta(seconds=n)
        cast = Cast(voter_id, known[voter_id], identifiers.H(election, t).hex())
        _insert(office, election, cast, d, t, at, n)
        casts.append(cast)
    return casts


def _insert(
    office: Office,
    election: str,
    cast: Cast,
    d: uuid.UUID,
    t: bytes,
    at: datetime,
    n: int,
) -> None:
    values = {"e": election, "d": d, "u": cast.ref, "at": at, "n": n, "t": t}
    values |= {"r": cast.receipt_hash, "other": identifiers.H(t).hex()}
    values["answer"] = f"receipt of {cast.receipt_hash}"
    office.run(
        'INSERT INTO vote_tokens (token, "user", election, issued_at, used, style, '
        "counter, policy_hash, roster_version, reuse_count, rejected_count) "
        "VALUES (:d, :u, :e, :at, true, 'north', :n, 'p', :n, :n, :n)",
        **values,
    )
    office.run(
        "INSERT INTO vote_submissions (id, election, tag, ciphertext_hash, status, "
        "receipt_hash, ballot_snapshot, receipt, receipt_key_id, created_at) "
        "VALUES (gen_random_uuid(), :e, :t, :t, 'accepted', :r, '{}', "
        ":answer, 'k', :at)",
        **values,
    )
    office.run(
        "INSERT INTO vote_submissions (id, election, tag, ciphertext_hash, status, "
        "receipt_hash, code, created_at) "
        "VALUES (gen_random_uuid(), :e, :t, :t, 'rejected', :other, "
        "'ballot_length', :at)",
        **values,
    )
    office.run(
        "INSERT INTO vote_groups (receipt_hash, election, group_id) "
        "VALUES (:r, :e, 'group')",
        **values,
    )


def finish(office: Office, election: str = "spring", *, exported: bool = True) -> None:
    """Close it and state so, with grace and dispute window long over."""
    ceremony.close(office.owner, election, early=True)
    office.run(
        "UPDATE elections SET closed_at = opened_at, "
        "opens_at = opens_at - interval '40 days', "
        "closes_at = opens_at - interval '30 days' WHERE id = :e",
        e=election,
    )
    state(office, election)
    if exported:
        export(office, election)


def state(office: Office, election: str = "spring", *, days: float = 20) -> None:
    """As if `election finish` had signed, days ago: these votes have no leaves."""
    office.run("UPDATE elections SET status = 'finished' WHERE id = :e", e=election)
    office.run(
        "INSERT INTO election_statements (election, kind, note, created_at) "
        "VALUES (:e, 'closing', 'signed', now() - make_interval(hours => :hours))",
        e=election,
        hours=round(days * 24),
    )


def export(office: Office, election: str, **detail: object) -> None:
    """As if `audit export` had been finished since."""
    status = detail.pop("status", "finished")
    wanting = exports.Wanting(**detail)
    made = {"status": status, "sums": "ab" * 32, "wanting": wanting}
    with office.owner.begin() as connection:
        exports.note(connection, election, **made)


_TOKEN_COLUMNS = (
    "token",
    '"user"',
    "issued_at",
    "used",
    "style",
    "counter",
    "policy_hash",
    "roster_version",
    "revoked_at",
    "reuse_count",
    "rejected_count",
    "ctid",
    "xmin::text::bigint",
)
_VOTE_COLUMNS = (
    "id",
    "tag",
    "ciphertext_hash",
    "receipt_hash",
    "receipt",
    "receipt_key_id",
    "created_at",
    "ctid",
    "xmin::text::bigint",
)


def best_guess(office: Office, casts: list[Cast]) -> int:
    """How many voters an insider joins right by lining up the tables, at best.

    Every order of the tokens is laid beside every order of the ballots, both ways.
    """
    truth = {cast.ref: cast.receipt_hash for cast in casts}
    where = "WHERE election = 'spring'"
    ballots = f"SELECT receipt_hash FROM vote_submissions {where} AND status='accepted'"
    best = 0
    for mine in _TOKEN_COLUMNS:
        query = f'SELECT "user" FROM vote_tokens {where} ORDER BY {mine}'
        users = [row[0] for row in office.all(query)]
        for theirs in _VOTE_COLUMNS:
            for way in ("ASC", "DESC"):
                rows = office.all(f"{ballots} ORDER BY {theirs} {way}")
                pairs = zip(users, rows, strict=True)
                best = max(best, sum(truth[user] == row[0] for user, row in pairs))
    return best


def test_no_order_of_rows_times_or_versions_joins_voters_to_ballots(
    office: Office,
) -> None:
    casts = hold_election(office)
    assert best_guess(office, casts) == VOTERS
    finish(office)
    done = unlink(office.owner, "spring")
    assert (done.tokens, done.votes) == (VOTERS, 2 * VOTERS)
    # About one voter is joined right by chance, three or four at the best of all
    # these tries; twelve come about less than once in a million runs.
    assert best_guess(office, casts) < 12


def test_no_value_tells_one_token_from_another(office: Office) -> None:
    hold_election(office)
    finish(office)
    unlink(office.owner, "spring")
    for column in (
        "issued_at",
        "counter",
        "roster_version",
        "reuse_count",
        "rejected_count",
        "xmin::text",
    ):
        values = office.all(f"SELECT DISTINCT {column} FROM vote_tokens")
        assert len(values) == 1, column
    for column in ("created_at", "xmin::text"):
        values = office.all(f"SELECT DISTINCT {column} FROM vote_submissions")
        assert len(values) == 1, column


def test_the_issuance_key_is_gone_and_token_ids_are_random(office: Office) -> None:
    casts = hold_election(office)
    issuance = office.keys.issuance("spring")
    m = office.all("SELECT manifest_hash FROM elections")[0][0]

    def derived() -> set[uuid.UUID]:
        return {
            identifiers.token_id(
                "spring",
                m,
                identifiers.bearer(issuance, "spring", m, cast.voter_id, 0),
            )
            for cast in casts
        }

    def stored() -> set[uuid.UUID]:
        return {row[0] for row in office.all("SELECT token FROM vote_tokens")}

    assert stored() == derived()
    finish(office)
    unlink(office.owner, "spring")
    assert not stored() & derived()
    fresh = ElectionKeys(office.keys._provider, office.owner, 1000)
    with pytest.raises(KeyMissing):
        fresh.issuance("spring")
    wrapped = office.all("SELECT purpose, wrapped IS NULL AS gone FROM wrapped_keys")
    assert {(row.purpose, row.gone) for row in wrapped} == {
        ("issuance", True),
        ("ballot-box", False),
        ("receipt-log", False),
        ("audit-log", False),
        ("statements", False),
    }


def test_the_old_files_are_dropped(office: Office) -> None:
    hold_election(office)
    finish(office)

    def paths() -> dict[str, str]:
        tables = unlinking._TABLES.split(", ")
        indexes = ("pk_vote_tokens", "uq_vote_submissions_tag")
        return {
            name: office.all(f"SELECT pg_relation_filepath('{name}')")[0][0]
            for name in (*tables, *indexes)
        }

    before = paths()
    unlink(office.owner, "spring")
    after = paths()
    assert not set(before.values()) & set(after.values())


def test_what_stays(office: Office) -> None:
    casts = hold_election(office)
    finish(office)
    view = unlink(office.owner, "spring").election
    assert view.status == "unlinked"
    # Turnout, and every ballot with its receipt, byte for byte.
    turnout = office.all('SELECT "user" FROM vote_tokens WHERE used')
    assert {row[0] for row in turnout} == {cast.ref for cast in casts}
    receipts = office.all(
        "SELECT receipt_hash, receipt FROM vote_submissions WHERE status = 'accepted'"
    )
    assert {tuple(row) for row in receipts} == {
        (cast.receipt_hash, f"receipt of {cast.receipt_hash}") for cast in casts
    }
    assert office.all("SELECT 1 FROM vote_groups") == []
    assert office.kinds("spring")[-1] == "election_unlinked"
    assert service.cast_window(view, view.opens_at) == Code.ELECTION_CLOSED
    with office.owner.connect() as connection:
        shown = ceremony.show(connection, "spring")
    assert shown["issuance_key"] == "destroyed"
    assert shown["tokens_used"] == shown["votes_accepted"] == VOTERS


def test_other_elections_rows_grants_and_constraints_stay(office: Office) -> None:
    hold_election(office)
    others = hold_election(office, "autumn")
    finish(office)
    tables = ("vote_tokens", "vote_submissions", "vote_groups", "wrapped_keys")

    def theirs() -> list[set[str]]:
        return [
            {
                str(row)
                for row in office.all(f"SELECT * FROM {t} WHERE election = 'autumn'")
            }
            for t in tables
        ]

    before = theirs()
    unlink(office.owner, "spring")
    assert theirs() == before
    values = {"v": others[0].ref}
    with office.app.begin() as connection:
        connection.execute(text("UPDATE vote_tokens SET used = true"))
    for statement, error in (
        ("DELETE FROM vote_tokens", ProgrammingError),
        ("UPDATE vote_submissions SET receipt = 'x'", ProgrammingError),
        (
            'INSERT INTO vote_tokens (token, "user", election, style, policy_hash, '
            + "roster_version) VALUES (gen_random_uuid(), :v, 'autumn', 'n', 'p', 1)",
            IntegrityError,
        ),
    ):
        with office.app.begin() as connection, pytest.raises(error):
            connection.execute(text(statement), values)


def test_it_is_done_whole_or_not_at_all(office: Office) -> None:
    casts = hold_election(office)
    finish(office)
    office.run(
        "ALTER TABLE audit_events ADD CONSTRAINT broken "
        "CHECK (kind <> 'election_unlinked')"
    )
    with pytest.raises(IntegrityError):
        unlink(office.owner, "spring")
    assert best_guess(office, casts) == VOTERS
    assert office.all("SELECT status FROM elections")[0][0] == "finished"
    fresh = ElectionKeys(office.keys._provider, office.owner, 1000)
    assert fresh.issuance("spring") == office.keys.issuance("spring")


def test_voters_of_other_elections_lose_nothing_meanwhile(office: Office) -> None:
    hold_election(office)
    finish(office)
    office.create(id="autumn")
    office.roster("autumn", [f"v{n},N 1,false,30,x" for n in range(400)])
    waiting = list(refs(office, "autumn").values())
    stop, issued = threading.Event(), []

    def claim() -> None:
        while waiting and not stop.is_set():
            ref = waiting.pop()
            with office.app.begin() as connection:
                connection.execute(
                    text(
                        'INSERT INTO vote_tokens (token, "user", election, style, '
                        "policy_hash, roster_version) "
                        "VALUES (gen_random_uuid(), :v, 'autumn', 'north', 'p', 1)"
                    ),
                    {"v": ref},
                )
            issued.append(ref)

    threads = [threading.Thread(target=claim) for _ in range(3)]
    for thread in threads:
        thread.start()
    while len(issued) < 20:
        threading.Event().wait(0.001)
    unlink(office.owner, "spring")
    stop.set()
    for thread in threads:
        thread.join()
    rows = office.all("SELECT \"user\" FROM vote_tokens WHERE election = 'autumn'")
    assert {row[0] for row in rows} == set(issued)


def test_refused_until_everything_is_over(office: Office) -> None:
    hold_election(office)
    with pytest.raises(CeremonyError, match="close it first"):
        unlink(office.owner, "spring")
    ceremony.close(office.owner, "spring", early=True)
    with pytest.raises(CeremonyError, match="election finish spring"):
        unlink(office.owner, "spring", dispute_days=0)
    # Long closed: the window begins with what there is to dispute.
    office.run("UPDATE elections SET closed_at = closed_at - interval '30 days'")
    state(office, days=2)
    export(office, "spring")
    with pytest.raises(CeremonyError, match="dispute window"):
        unlink(office.owner, "spring")
    with pytest.raises(CeremonyError, match="--dispute-days"):
        unlink(office.owner, "spring", dispute_days=2.1)
    unlink(office.owner, "spring", dispute_days=1.9)
    with pytest.raises(CeremonyError, match="unlinked already"):
        unlink(office.owner, "spring", dispute_days=0)


def test_a_vote_under_way_holds_it_up(office: Office) -> None:
    hold_election(office)
    office.run(
        "INSERT INTO vote_groups (receipt_hash, election, group_id, held_by) "
        "VALUES ('waiting', 'spring', 'g', ARRAY['g'])"
    )
    finish(office)
    with pytest.raises(CeremonyError, match="1 votes of"):
        unlink(office.owner, "spring")
    office.run("UPDATE vote_groups SET outcome = 'x' WHERE receipt_hash = 'waiting'")
    unlink(office.owner, "spring")
