"""After `unlink` no archived history of the election joins a voter to anything."""

from __future__ import annotations

from tests.elections.ceremonies import Office
from tests.elections.test_unlinking import finish, hold_election
from votepyramid.audit import archive
from votepyramid.audit.archive import Kept
from votepyramid.elections.unlinking import unlink


def test_its_archived_histories_go_and_none_comes_after(office: Office) -> None:
    hold_election(office)
    office.run(
        "INSERT INTO archived_histories (run_id, workflow_id, election, history) "
        "VALUES ('r1', 'claims/1', 'spring', ''), ('r2', 'claims/2', 'autumn', '')"
    )
    finish(office)
    unlink(office.owner, "spring")
    assert office.all("SELECT election FROM archived_histories") == [("autumn",)]
    # A run of the archive that had fetched a history before.
    with office.owner.connect() as connection:
        assert not archive.keep(connection, "spring", [Kept("claims/3", "r3", b"")])
        assert "spring" not in archive.elections(connection)
    assert office.all("SELECT election FROM archived_histories") == [("autumn",)]
