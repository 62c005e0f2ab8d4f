"""A roster comes in whole, as a new version, or not at all."""

from __future__ import annotations

import threading
import time

import pytest
from sqlalchemy import text

from tests.elections.ceremonies import ROSTER, Office, refs, roster_file
from votepyramid.audit.operators import login_name
from votepyramid.eligibility.roster import import_roster
from votepyramid.eligibility.roster_files import RosterInvalid
from votepyramid.errors import Code, Refused


def _state(office: Office) -> list[object]:
    tables = ("voters", "roster_versions", "roster_rows", "audit_events")
    counts = [office.all(f"SELECT count(*) FROM {table}")[0][0] for table in tables]
    return [*counts, office.all("SELECT roster_version FROM elections")[0][0]]


def test_versions_keep_the_voters_refs(office: Office) -> None:
    office.create()
    first = office.roster("spring")
    assert (first.version, first.voters, first.new_voters) == (1, 4, 4)
    known = refs(office, "spring")
    second = office.roster("spring", ["ana,N 2,true,31,blue", "eve,S 1,false,20,x"])
    assert (second.version, second.voters, second.new_voters) == (2, 2, 1)
    now = refs(office, "spring")
    assert {name: now[name] for name in known} == known
    rows = office.all(
        "SELECT version, precinct, attributes FROM roster_rows WHERE voter = :v "
        "ORDER BY version",
        v=known["ana"],
    )
    assert [tuple(row) for row in rows] == [
        (1, "N 1", {"suspended": False, "age": 30, "party": "green"}),
        (2, "N 2", {"suspended": True, "age": 31, "party": "blue"}),
    ]
    assert office.all("SELECT roster_version FROM elections")[0][0] == 2
    # Whoever any version named stays eligible.
    events = office.all(
        "SELECT (detail ->> 'eligible')::int FROM audit_events "
        "WHERE kind = 'roster_imported' ORDER BY id"
    )
    assert [row[0] for row in events] == [4, 5]


def test_the_event_names_the_file_and_no_voter(office: Office) -> None:
    office.create()
    done = office.roster("spring")
    detail = office.all(
        "SELECT detail FROM audit_events WHERE kind = 'roster_imported'"
    )
    assert detail[0][0] == {
        "version": 1,
        "voters": 4,
        "eligible": 4,
        "file_sha256": done.file_sha256.hex(),
        "by": login_name(),
    }


@pytest.mark.parametrize("at", [0, 500, 1000])
def test_a_bad_line_anywhere_leaves_nothing(office: Office, at: int) -> None:
    office.create()
    office.roster("spring")
    before = _state(office)
    lines = [f"v{n},N 1,false,{n},x" for n in range(1000)]
    lines.insert(at, "bad,N 1,maybe,1,x")
    with pytest.raises(RosterInvalid) as caught:
        office.roster("spring", lines)
    assert [problem.line for problem in caught.value.problems] == [at + 2]
    assert _state(office) == before


def test_a_reader_that_breaks_off_leaves_nothing(office: Office) -> None:
    office.create()
    before = _state(office)

    def stop(_size: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_roster(office.owner, "spring", roster_file(ROSTER), progress=stop)
    assert _state(office) == before


def test_two_imports_at_once_make_two_versions(office: Office) -> None:
    office.create()
    versions: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: versions.append(office.roster("spring").version)
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(versions) == [1, 2, 3]
    assert len(refs(office, "spring")) == 4


def test_an_import_does_not_hold_up_voters(office: Office) -> None:
    """Tokens refer to the election's row, which the import holds on to."""
    office.open()
    voter = refs(office, "spring")["ana"]
    held = threading.Event()
    go_on = threading.Event()

    def wait(_size: int) -> None:
        held.set()
        assert go_on.wait(10)

    thread = threading.Thread(
        target=lambda: import_roster(
            office.owner, "spring", roster_file(ROSTER), progress=wait
        )
    )
    thread.start()
    assert held.wait(10)
    try:
        with office.app.begin() as connection:
            connection.execute(text("SET LOCAL lock_timeout = '500ms'"))
            connection.execute(
                text(
                    'INSERT INTO vote_tokens (token, "user", election, style, '
                    "policy_hash, roster_version) "
                    "VALUES (gen_random_uuid(), :v, 'spring', 'north', 'x', 1)"
                ),
                {"v": voter},
            )
    finally:
        go_on.set()
        thread.join()
    assert office.all("SELECT roster_version FROM elections")[0][0] == 2


def test_rosters_of_two_elections_share_no_ref(office: Office) -> None:
    office.create()
    office.create(id="autumn")
    office.roster("spring")
    office.roster("autumn")
    spring, autumn = refs(office, "spring"), refs(office, "autumn")
    assert set(spring) == set(autumn)
    assert not set(spring.values()) & set(autumn.values())


def test_an_unknown_election(office: Office) -> None:
    with pytest.raises(Refused) as caught:
        office.roster("nowhere")
    assert caught.value.code == Code.ELECTION_UNKNOWN


def test_a_whole_citys_roster_takes_seconds(office: Office) -> None:
    office.create()
    lines = [f"voter-{n:06},N {1 + n % 2},false,{n % 90},party" for n in range(105_928)]
    told: list[int] = []
    file = roster_file(lines)
    size = len(file.getvalue())
    began = time.monotonic()
    done = import_roster(office.owner, "spring", file, progress=told.append)
    seconds = time.monotonic() - began
    assert done.voters == done.new_voters == 105_928
    assert sum(told) == size
    # Two busy cores take about 5 s; the bound only catches a row-by-row import.
    assert seconds < 60, f"{seconds:.1f} s"
