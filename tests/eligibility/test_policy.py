"""Cedar decides: every rule by its reason, everything doubtful denied."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from votepyramid.eligibility.policy import (
    Decision,
    ElectionFacts,
    PolicyInvalid,
    PolicySet,
    VoterFacts,
    default_policy,
    load,
)

ATTRIBUTES = {"suspended": "Bool", "age": "Long", "party": "String"}
NORTH = ElectionFacts("north", frozenset({"N 1", "N 2"}), accepting=True)
SHUT = ElectionFacts("north", frozenset({"N 1", "N 2"}), accepting=False)
ANA = VoterFacts("a", True, "N 1", {"suspended": False, "age": 30, "party": "green"})

PERMIT = "permit(principal, action, resource);\n"


def voter(**changes: Any) -> VoterFacts:
    return VoterFacts("a", True, "N 1", {**ANA.attributes, **changes})


@pytest.fixture(scope="module")
def rules() -> PolicySet:
    return PolicySet(default_policy(), ATTRIBUTES)


@pytest.mark.parametrize("action", ["claim", "cast"])
@pytest.mark.parametrize(
    ("facts", "election", "reason"),
    [
        (ANA, NORTH, None),
        (VoterFacts("a", False), NORTH, "not_on_roster"),
        (voter(suspended=True), NORTH, "suspended"),
        (VoterFacts("a", True, "S 1", ANA.attributes), NORTH, "wrong_precinct"),
        (VoterFacts("a", True, "", ANA.attributes), NORTH, "wrong_precinct"),
        (ANA, ElectionFacts("", frozenset(), True), "wrong_precinct"),
        (ANA, SHUT, "election_not_open"),
        # Several rules at once: the first of the text is told.
        (VoterFacts("a", False), SHUT, "not_on_roster"),
        (voter(suspended=True), SHUT, "suspended"),
    ],
)
def test_the_default_rules(
    rules: PolicySet,
    action: Any,
    facts: VoterFacts,
    election: ElectionFacts,
    reason: str | None,
) -> None:
    assert rules.decide(facts, action, election) == Decision(reason is None, reason)


def test_the_default_rules_without_the_attribute_they_look_for() -> None:
    rules = PolicySet(default_policy(), {})
    facts = VoterFacts("a", True, "N 1")
    assert rules.decide(facts, "claim", NORTH) == Decision(True)


def test_an_authors_own_rules() -> None:
    rules = PolicySet(
        default_policy()
        + """
        @reason("too_young")
        forbid(principal, action == Action::"claim", resource)
        when { principal has roster && principal.roster.age < 18 };

        @reason("closed_primary")
        forbid(principal, action, resource == BallotStyle::"north")
        unless { principal has roster && principal.roster.party == "green" };
        """,
        ATTRIBUTES,
    )
    assert rules.decide(voter(age=17), "claim", NORTH).reason == "too_young"
    assert rules.decide(voter(age=17), "cast", NORTH).allowed
    assert rules.decide(voter(age=18), "claim", NORTH).allowed
    assert rules.decide(voter(party="blue"), "cast", NORTH).reason == "closed_primary"
    south = ElectionFacts("south", frozenset({"N 1"}), accepting=True)
    assert rules.decide(voter(party="blue"), "cast", south).allowed


def test_nothing_permits() -> None:
    rules = PolicySet(
        "permit(principal, action, resource)"
        " when { principal has roster && principal.roster.age >= 18 };",
        ATTRIBUTES,
    )
    assert rules.decide(voter(age=17), "claim", NORTH) == Decision(False, "no_rule")


def test_the_order_of_the_text_decides_between_reasons() -> None:
    idle = '@reason("idle") forbid(principal, action, resource) unless { true };'
    for before in (0, 1, 8):  # from 8 on the two are Cedar's policy9 and policy10
        for many in (["b", "a"], ["a", "b"]):
            text = PERMIT + idle * before
            for name in many:
                text += f'@reason("{name}") forbid(principal, action, resource);'
            rules = PolicySet(text, {})
            assert rules.decide(ANA_BARE, "claim", NORTH).reason == many[0]


ANA_BARE = VoterFacts("a", True, "N 1")


def test_an_error_while_deciding_is_a_refusal() -> None:
    """Cedar skips a policy that fails; a skipped forbid would let a voter pass."""
    rules = PolicySet(
        PERMIT
        + '@reason("rich") forbid(principal, action, resource)'
        + " when { principal has roster"
        + " && principal.roster.age * 9000000000000000 > 9 };",
        ATTRIBUTES,
    )
    assert rules.decide(voter(age=2000), "claim", NORTH).reason == "policy_error"
    assert rules.decide(voter(age=1), "claim", NORTH).reason == "rich"
    assert rules.decide(voter(age=0), "claim", NORTH).allowed


@pytest.mark.parametrize(
    "bad",
    [
        {"suspended": None},
        {"suspended": "false"},
        {"suspended": 0},
        {"age": "30"},
        {"age": 1.5},
        {"age": 2**63},
        {"party": ["green"]},
        {"party": "\ud800"},
        {"surprise": True},
    ],
    ids=repr,
)
def test_a_row_that_breaks_its_types_is_refused_and_its_neighbours_are_not(
    rules: PolicySet, bad: dict[str, Any]
) -> None:
    assert rules.decide(voter(**bad), "claim", NORTH).reason == "policy_error"
    decisions = rules.decide_all(
        [(ANA, NORTH), (voter(**bad), NORTH), (voter(suspended=True), NORTH)], "claim"
    )
    assert [d.reason for d in decisions] == [None, "policy_error", "suspended"]


def test_a_missing_attribute_is_refused(rules: PolicySet) -> None:
    facts = VoterFacts("a", True, "N 1", {"suspended": False, "age": 30})
    assert rules.decide(facts, "claim", NORTH).reason == "policy_error"


def test_the_same_voter_twice_in_a_group(rules: PolicySet) -> None:
    decisions = rules.decide_all([(ANA, NORTH), (ANA, SHUT), (ANA, NORTH)], "claim")
    assert [d.allowed for d in decisions] == [True, False, True]


@given(
    group=st.lists(
        st.tuples(
            st.booleans(),
            st.sampled_from(["N 1", "N 2", "S 1", "", "波"]),
            st.booleans(),
            st.booleans(),
        ),
        max_size=20,
    )
)
def test_a_group_is_decided_like_each_of_it_alone(
    rules: PolicySet, group: list[tuple[bool, str, bool, bool]]
) -> None:
    cases = [
        (
            VoterFacts("a", on, precinct, {**ANA.attributes, "suspended": suspended}),
            NORTH if accepting else SHUT,
        )
        for on, precinct, suspended, accepting in group
    ]
    expected = []
    for on, precinct, suspended, accepting in group:
        if not on:
            expected.append("not_on_roster")
        elif suspended:
            expected.append("suspended")
        elif precinct not in ("N 1", "N 2"):
            expected.append("wrong_precinct")
        else:
            expected.append(None if accepting else "election_not_open")
    assert [d.reason for d in rules.decide_all(cases, "claim")] == expected


@pytest.mark.parametrize(
    ("text", "attributes", "words"),
    [
        ("permit(", {}, ["unexpected end"]),
        ("", {}, ["no permit"]),
        ("// nothing", {}, ["no permit"]),
        (
            "permit(principal, action, resource) when { principal.roster.age > 1 };",
            ATTRIBUTES,
            ["unable to guarantee safety"],
        ),
        (
            "permit(principal, action, resource) when { principal.roster.wealth > 1 };",
            ATTRIBUTES,
            ["wealth"],
        ),
        (
            'permit(principal, action == Action::"tally", resource);',
            {},
            ['unrecognized action `Action::"tally"`'],
        ),
        (
            'permit(principal == User::"x", action, resource);',
            {},
            ["unrecognized entity type `User`"],
        ),
        (
            'permit(principal, action, resource) when { context.accepting == "yes" };',
            {},
            ["not compatible"],
        ),
        ("permit(principal == ?principal, action, resource);", {}, ["templates"]),
        (PERMIT + "forbid(principal, action, resource);", {}, ["@reason"]),
        (
            PERMIT + '@reason("Not OK") forbid(principal, action, resource);',
            {},
            ["@reason"],
        ),
        (PERMIT + "@reason forbid(principal, action, resource);", {}, ["@reason"]),
        (PERMIT + " " * 70_000, {}, ["longer than"]),
        (PERMIT, {"Age": "Long"}, ["'Age'"]),
        (PERMIT, {"age": "Int"}, ["'Int'"]),
        (PERMIT, {"voter_id": "String"}, ["taken"]),
        (PERMIT, {'x": Bool, "y': "Bool"}, ["not [a-z]"]),
        # All at once.
        (
            "forbid(principal, action, resource) when { principal.x };"
            + "permit(principal == ?principal, action, resource) when { resource.y };",
            {},
            ["`x`", "templates", "no permit", "@reason"],
        ),
    ],
)
def test_every_problem_of_a_policy_is_listed(
    text: str, attributes: dict[str, str], words: list[str]
) -> None:
    with pytest.raises(PolicyInvalid) as caught:
        PolicySet(text, attributes)
    for word in words:
        assert any(word in problem for problem in caught.value.problems)


def test_the_hash_tells_policies_and_schemas_apart() -> None:
    hashes = {
        PolicySet(text, attributes).hash
        for text in (PERMIT, PERMIT + "// note", default_policy())
        for attributes in ({}, {"age": "Long"}, {"age": "String"})
    }
    assert len(hashes) == 9
    one = PolicySet(PERMIT, {"a": "Long", "b": "Bool"}).hash
    assert one == PolicySet(PERMIT, {"b": "Bool", "a": "Long"}).hash


def test_the_hash_of_a_version_1_policy_never_changes() -> None:
    """Running elections were created with these: a change here would stop them."""
    assert PolicySet(PERMIT, {"age": "Long", "party": "String"}).hash == (
        "4e10a6e635d0574dcaa4d4c073e2d653c30f450c875ae433ffe66381ce926242"
    )


def test_a_manifests_policy_is_parsed_once() -> None:
    eligibility = {"policy": PERMIT, "attributes": {"age": "Long", "x": "Bool"}}
    same = {"policy": PERMIT, "attributes": {"x": "Bool", "age": "Long"}}
    assert load(eligibility) is load(same)
    assert load({**eligibility, "attributes": {}}) is not load(eligibility)
