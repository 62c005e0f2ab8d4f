"""Voters are judged on the current roster, a whole group with one read."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from tests.elections.ceremonies import ROSTER, Office, refs
from tests.elections.drafts import manifest
from votepyramid.elections import ceremony, service
from votepyramid.eligibility.policy import default_policy
from votepyramid.eligibility.service import Assessment, PolicyChanged, assess
from votepyramid.errors import Code, Refused


def judge(
    office: Office,
    names: Sequence[str | None],
    styles: Sequence[str | None] | None = None,
    action: Any = "claim",
    **more: Any,
) -> list[Assessment]:
    """Assess voters by id; None and unknown ids have no ref."""
    known = refs(office, "spring")
    voters = [known.get(name) if name else None for name in names]
    with office.app.connect() as connection:
        view = more.pop("view", None) or service.get(connection, "spring")
        wanted = styles or [None] * len(voters)
        return assess(connection, view, voters, wanted, action, **more)


def reasons(found: Sequence[Assessment]) -> list[str | None]:
    return [assessment.reason for assessment in found]


def test_a_claim_gets_the_style_of_the_voters_precinct(office: Office) -> None:
    office.open()
    found = judge(office, ["ana", "dee"])
    assert found == [
        Assessment(True, None, "north", 1),
        Assessment(True, None, "south", 1),
    ]


def test_every_refusal_in_one_group(office: Office) -> None:
    office.open()
    names = ["ana", None, "cy", "bo", "dee", "ana", "ana"]
    styles = [None, None, None, "north", "north", "nope", "north"]
    assert reasons(judge(office, names, styles)) == [
        None,
        "not_on_roster",
        "suspended",
        None,
        "wrong_precinct",
        "wrong_precinct",
        None,
    ]


def test_a_group_takes_one_read(office: Office) -> None:
    office.open()
    statements: list[str] = []
    event.listen(
        office.app, "before_cursor_execute", lambda *a: statements.append(a[2])
    )
    names = ["ana", "bo", "cy", "dee"] * 16
    found = judge(office, names)
    assert len(found) == 64
    # One for the election's view in this test, one for all 64 voters.
    assert len(statements) == 2


def test_a_voter_taken_off_the_roster(office: Office) -> None:
    office.open()
    office.roster("spring", ROSTER[1:])
    found = judge(office, ["ana", "bo"])
    assert reasons(found) == ["not_on_roster", None]
    assert found[1].roster_version == 2
    assert reasons(judge(office, ["ana"], ["north"], "cast")) == ["not_on_roster"]


def test_a_voter_suspended_or_moved_after_the_claim(office: Office) -> None:
    office.open()
    office.roster("spring", ["ana,N 1,true,30,green", "bo,S 1,false,17,blue"])
    found = judge(office, ["ana", "bo"], ["north", "north"], "cast")
    assert reasons(found) == ["suspended", "wrong_precinct"]


def test_an_election_that_honours_tokens_asks_no_more(office: Office) -> None:
    eligibility = {**manifest()["eligibility"], "late_changes": "honour"}
    office.open(eligibility=eligibility)
    office.roster("spring", ["bo,N 2,false,17,blue"])
    assert judge(office, ["ana"], ["north"], "cast") == [
        Assessment(True, None, "north", 2)
    ]
    assert reasons(judge(office, ["ana"])) == ["not_on_roster"]


def test_claims_are_judged_by_the_databases_clock_or_their_arrival(
    office: Office,
) -> None:
    view = office.open()
    assert reasons(judge(office, ["ana"])) == [None]
    before, end = view.opens_at - timedelta(seconds=1), view.closes_at
    times = [before, view.opens_at, end - timedelta(seconds=1), end]
    found = judge(office, ["ana"] * 4, at=times)
    assert reasons(found) == ["election_not_open", None, None, "election_not_open"]


def test_a_cast_is_in_time_by_its_arrival_alone(office: Office) -> None:
    view = office.open()
    grace = view.closes_at + timedelta(seconds=view.grace_seconds)
    at = [view.closes_at, grace]
    found = judge(office, ["ana"] * 2, ["north"] * 2, "cast", at=at)
    assert reasons(found) == [None, "election_not_open"]
    # Without an arrival the window was judged before, and is not judged again.
    ceremony.close(office.owner, "spring", early=True)
    office.run("UPDATE elections SET closes_at = now(), opens_at = '2020-01-01Z'")
    office.run("UPDATE elections SET closed_at = '2020-02-01Z'")
    assert reasons(judge(office, ["ana"], ["north"], "cast")) == [None]
    assert reasons(judge(office, ["ana"])) == ["election_not_open"]


def test_a_policy_that_permits_all_still_needs_a_roster_row_and_a_style(
    office: Office,
) -> None:
    policy = "permit(principal, action, resource);"
    office.open(eligibility={**manifest()["eligibility"], "policy": policy})
    names = [None, "cy", "ana", "ana"]
    found = judge(office, names, [None, None, "nope", "south"])
    assert reasons(found) == ["not_on_roster", None, "wrong_precinct", None]


def test_an_authors_rule_over_the_rosters_attributes(office: Office) -> None:
    policy = default_policy() + (
        '@reason("too_young") forbid(principal, action, resource)'
        "when { principal has roster && principal.roster.age < 18 };"
    )
    office.open(eligibility={**manifest()["eligibility"], "policy": policy})
    assert reasons(judge(office, ["ana", "bo"])) == [None, "too_young"]


def test_a_broken_row_is_refused_alone(office: Office) -> None:
    office.open()
    office.run(
        "UPDATE roster_rows SET attributes = '{\"suspended\": null}' WHERE voter = :v",
        v=refs(office, "spring")["ana"],
    )
    assert reasons(judge(office, ["bo", "ana", "dee"])) == [None, "policy_error", None]


def test_rules_that_nobody_signed_stop_everything(office: Office) -> None:
    view = office.open()
    with pytest.raises(PolicyChanged):
        judge(office, ["ana"], view=replace(view, policy_hash="0" * 64))
    other = copy.deepcopy(view.manifest)
    other["eligibility"]["policy"] = "permit(principal, action, resource);"
    with pytest.raises(PolicyChanged):
        judge(office, ["ana"], view=replace(view, manifest=other))


def test_an_election_that_is_gone(office: Office) -> None:
    view = office.open()
    with pytest.raises(Refused) as caught:
        judge(office, ["ana"], view=replace(view, id="nowhere"))
    assert caught.value.code == Code.ELECTION_UNKNOWN


def test_nobody_and_strangers(office: Office) -> None:
    office.open()
    assert judge(office, []) == []
    with office.app.connect() as connection:
        view = service.get(connection, "spring")
        found = assess(connection, view, [uuid.uuid4()], [None], "claim")
    assert reasons(found) == ["not_on_roster"]


def test_a_voter_of_another_election_is_a_stranger(office: Office) -> None:
    office.open()
    office.open(id="autumn")
    ana = refs(office, "autumn")["ana"]
    with office.app.connect() as connection:
        view = service.get(connection, "spring")
        found = assess(connection, view, [ana], ["north"], "claim")
    assert reasons(found) == ["not_on_roster"]
