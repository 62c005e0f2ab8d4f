"""`unlink` takes the histories away: not before they were exported."""

from __future__ import annotations

import pytest

from tests.elections.ceremonies import Office
from tests.elections.test_unlinking import export, finish, hold_election
from votepyramid.elections.ceremony import CeremonyError
from votepyramid.elections.unlinking import unlink


@pytest.mark.parametrize(
    "made",
    [
        None,
        {"status": "open"},
        {"lacking": 1},
        {"waiting": 1},
        {"unopened": 1},
        {"status": "unlinked"},
    ],
)
def test_refused_without_a_whole_export_of_the_end(
    office: Office, made: dict[str, object] | None
) -> None:
    hold_election(office)
    hold_election(office, "autumn")
    finish(office, exported=False)
    export(office, "autumn")
    if made is not None:
        export(office, "spring", **made)
    with pytest.raises(CeremonyError, match="audit export spring DIR"):
        unlink(office.owner, "spring")
    unlink(office.owner, "spring", without_export=True)
    said = "SELECT detail -> 'exported' FROM audit_events "
    said += "WHERE kind = 'election_unlinked'"
    assert [row[0] for row in office.all(said)] == [False]
