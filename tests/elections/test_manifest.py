"""Every problem of a manifest is found, all at once, each at its path."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.elections.drafts import draft, manifest
from votepyramid.elections.manifest import (
    ManifestInvalid,
    check,
    require,
    schema,
)
from votepyramid.protocol import manifest as protocol
from votepyramid.protocol.encoding import b64u, jcs
from votepyramid.protocol.suites import XWING


def changed(path: str, value: Any) -> dict[str, Any]:
    """The manifest with one member set, or taken away with `...`."""
    document = manifest()
    *way, last = [int(p) if p.isdigit() else p for p in path.split("/")]
    place: Any = document
    for step in way:
        place = place[step]
    if value is ...:
        del place[last]
    elif isinstance(place, list) and last == len(place):
        place.append(value)
    else:
        place[last] = value
    return document


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(schema())


def test_a_right_manifest_has_no_problem() -> None:
    assert check(manifest()) == []
    require(manifest())
    pair = XWING.generate_private_key()
    document = manifest(suite=XWING.id, public_key=b64u(pair.public))
    problems = check(document)
    assert [p.path for p in problems] == ["key_id"]


@pytest.mark.parametrize(
    ("path", "value", "problem_path", "words"),
    [
        # The shape.
        ("version", 2, "version", "must be 1"),
        ("version", 1.0, "version", "version"),
        ("id", "Spring", "id", "must match"),
        ("id", "spring\n", "id", "must match"),
        ("id", "", "id", "must match"),
        ("id", "s" * 65, "id", "must match"),
        ("id", ..., "id", "is missing"),
        ("title", "", "title", "1 characters at least"),
        ("title", "a\nb", "title", "must match"),
        ("title", "a\n", "title", "must match"),
        ("title", "t" * 301, "title", "300 characters at most"),
        ("title", 7, "title", "type string"),
        ("surprise", 1, "surprise", "not a known member"),
        ("grace_seconds", -1, "grace_seconds", "0 at least"),
        ("grace_seconds", 86401, "grace_seconds", "86400 at most"),
        ("grace_seconds", 300.0, "grace_seconds", "type integer"),
        ("grace_seconds", True, "grace_seconds", "type integer"),
        ("contests", [], "contests", "1 members at least"),
        ("contests/0/ranks", 0, "contests/0/ranks", "1 at least"),
        ("contests/0/ranks", 65, "contests/0/ranks", "64 at most"),
        ("contests/0/ranks", 10**15, "contests/0/ranks", "64 at most"),
        ("contests/0/choices", [], "contests/0/choices", "1 members at least"),
        ("contests/0/choices/1/name", ..., "contests/0/choices/1/name", "is missing"),
        (
            "contests/0/choices/1/party",
            "x",
            "contests/0/choices/1/party",
            "not a known",
        ),
        ("contests/0/extra", 1, "contests/0/extra", "not a known member"),
        ("styles", {}, "styles", "type array"),
        ("styles/1/precincts", [], "styles/1/precincts", "1 members at least"),
        ("styles/1/precincts/0", 7, "styles/1/precincts/0", "type string"),
        ("styles/1/extra", 1, "styles/1/extra", "not a known member"),
        ("eligibility/extra", 1, "eligibility/extra", "not a known member"),
        (
            "eligibility/late_changes",
            "no",
            "eligibility/late_changes",
            "recheck, honour",
        ),
        (
            "eligibility/attributes/age",
            "Int",
            "eligibility/attributes/age",
            "Bool, Long",
        ),
        ("eligibility/attributes/Age", "Long", "eligibility/attributes/Age", "match"),
        (
            "eligibility/attributes/precinct",
            "String",
            "eligibility/attributes",
            "taken by every roster",
        ),
        ("rate/extra", 1, "rate/extra", "not a known member"),
        (
            "rate/claims_per_voter_per_minute",
            0,
            "rate/claims_per_voter_per_minute",
            "1 at least",
        ),
        (
            "rate/casts_per_token_per_minute",
            10001,
            "rate/casts_per_token_per_minute",
            "10000 at most",
        ),
        (
            "rate/rejected_ballots_per_token",
            0,
            "rate/rejected_ballots_per_token",
            "1 at least",
        ),
        ("receipts/extra", 1, "receipts/extra", "not a known member"),
        ("receipts/origin", "a b", "receipts/origin", "must match"),
        ("receipts/origin", "a+b", "receipts/origin", "must match"),
        # The sense.
        ("opens", "2026-04-01 08:00:00Z", "opens", "not a time"),
        ("opens", "2026-04-31T08:00:00Z", "opens", "not a time"),
        ("opens", "2026-04-01T08:00:00+00:00", "opens", "not a time"),
        ("opens", "2026-04-01T08:00:00Z\n", "opens", "not a time"),
        ("opens", "2026-04-01T20:00:00Z", "closes", "later than opens"),
        ("closes", "2026-04-01T08:00:00Z", "closes", "later than opens"),
        ("contests/1/id", "mayor", "contests/1/id", "is repeated"),
        ("contests/0/choices/1/id", "ana", "contests/0/choices/1/id", "is repeated"),
        ("styles/1/id", "north", "styles/1/id", "is repeated"),
        ("styles/0/contests/1", "council", "styles/0/contests/1", "no such contest"),
        ("styles/0/contests/1", "council", "contests/1", "on no ballot style"),
        ("styles/0/contests/1", "mayor", "styles/0/contests/1", "is repeated"),
        ("styles/1/precincts/1", "N 2", "styles/1/precincts/1", "styles/0 already"),
        ("styles/0/precincts/2", "N 1", "styles/0/precincts/2", "styles/0 already"),
        ("styles/0/precincts/2", " N 3", "styles/0/precincts/2", "space around"),
        ("styles/1/plaintext_length", 40, "styles/1/plaintext_length", "at least"),
        ("styles/1/plaintext_length", 65537, "styles/1/plaintext_length", "at most"),
        ("suite", "rot13", "suite", "must be one of"),
        ("public_key", "A" * 44, "public_key", "32 bytes"),
        ("public_key", b64u(bytes(32)), "public_key", "not a public key"),
        ("public_key", "A" * 42 + "B", "public_key", "stray bits"),
        ("key_id", "0" * 64, "key_id", "not that of suite"),
        ("key_id", "0" * 63, "key_id", "must match"),
        ("eligibility/policy", "permit(", "eligibility/policy", "unexpected end"),
        ("eligibility/policy", "", "eligibility/policy", "1 characters at least"),
        (
            "eligibility/policy",
            "permit(principal, action, resource) when { principal.roster.wealth > 1 };",
            "eligibility/policy",
            "wealth",
        ),
        (
            "eligibility/policy",
            (
                "permit(principal, action, resource);"
                "forbid(principal, action, resource) unless { principal has roster };"
            ),
            "eligibility/policy",
            "@reason",
        ),
        ("receipts/key", "a+00000000+AAAA", "receipts/key", "Ed25519"),
        ("receipts/key", "nonsense", "receipts/key", "name+id+key"),
    ],
)
def test_each_problem_is_named_at_its_path(
    path: str, value: Any, problem_path: str, words: str
) -> None:
    problems = check(changed(path, value))
    assert any(p.path == problem_path and words in p.message for p in problems), (
        problems
    )


def test_all_problems_are_named_at_once() -> None:
    document = manifest(id="NO", grace_seconds="x", opens="later", extra=1)
    document["contests"][1]["id"] = "mayor"
    document["styles"][1]["precincts"] = ["N 1", 3]
    document["eligibility"]["policy"] = "permit("
    del document["rate"]
    with pytest.raises(ManifestInvalid) as caught:
        require(document)
    paths = {problem.path for problem in caught.value.problems}
    assert paths >= {
        "id",
        "grace_seconds",
        "opens",
        "extra",
        "contests/1/id",
        "styles/0/contests/1",
        "styles/1/precincts/0",
        "styles/1/precincts/1",
        "eligibility/policy",
        "rate",
    }


def test_a_ballot_fits_at_the_least_length_and_not_below() -> None:
    least = protocol.largest_plaintext(manifest(), "south")
    assert check(changed("styles/1/plaintext_length", least)) == []
    problems = check(changed("styles/1/plaintext_length", least - 1))
    assert [p.path for p in problems] == ["styles/1/plaintext_length"]
    assert str(least) in problems[0].message


def test_a_ballot_too_long_for_any_length_is_found_without_making_it() -> None:
    choices = [{"id": f"c{n}", "name": "c"} for n in range(1000)]
    document = changed("contests/0/choices", choices)
    document["contests"][0]["ranks"] = 64
    problems = check(document)
    assert {p.path for p in problems} == {"styles/0", "styles/1"}


@pytest.mark.parametrize("value", [None, [], "x", 3, {}])
def test_what_is_no_manifest(value: Any) -> None:
    assert check(value)


def test_a_lone_surrogate_has_no_canonical_form() -> None:
    assert check(manifest(title="\ud800"))[0].path == ""


def test_a_draft_may_leave_out_what_prepare_fills_in() -> None:
    document = draft()
    assert check(document, draft=True) == []
    assert [p.path for p in check(document)] == ["receipts", "signers"]
    for name in ("suite", "public_key", "key_id", "eligibility", "rate"):
        document.pop(name)
    assert check(document, draft=True) == []
    document["eligibility"] = {"attributes": {"age": "Long"}}
    assert check(document, draft=True) == []
    document["eligibility"] = {"policy": "permit(", "attributes": {}}
    assert [p.path for p in check(document, draft=True)] == ["eligibility/policy"]
    del document["title"]
    assert "title" in [p.path for p in check(document, draft=True)]


def test_times_have_one_spelling() -> None:
    assert protocol.parse_time("2026-11-23T08:00:00Z")
    for text in (
        "2026-11-23T8:00:00Z",
        "2026-11-23t08:00:00z",
        "2026-11-23T08:00:00.0Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T08:00:60Z",
        "\uff12026-11-23T08:00:00Z",
        None,
        0,
    ):
        assert protocol.parse_time(text) is None


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10)
    | st.sampled_from(["mayor", "north", "N 1", "Long", "permit(", "a+b+c"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.just("id"), inner, max_size=3)
    ),
    max_leaves=6,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: list[tuple[Any, ...]] = [path]
    if isinstance(value, dict | list):
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            inner += _places(value[key], (*path, key))
    return inner


@given(place=st.sampled_from(_places(manifest())), value=_json)
def test_whatever_passes_can_be_signed_and_sealed(
    place: tuple[Any, ...], value: Any
) -> None:
    """No change crashes the check, and what it lets through the protocol takes."""
    document: Any = manifest()
    if not place:
        document = copy.deepcopy(value)
    else:
        inner = document
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = copy.deepcopy(value)
    problems = check(document)
    if problems:
        assert all(p.message for p in problems)
    else:
        protocol.check_manifest(document)
        assert json.loads(jcs(document)) == document


@given(
    ranks=st.integers(1, 4),
    choices=st.integers(1, 5),
    slack=st.integers(-2, 2),
)
def test_the_least_length_holds_for_every_contest(
    ranks: int, choices: int, slack: int
) -> None:
    document = manifest()
    document["contests"][0]["ranks"] = ranks
    document["contests"][0]["choices"] = [
        {"id": f"c{n}", "name": "x"} for n in range(choices)
    ]
    least = protocol.largest_plaintext(document, "south")
    document["styles"][1]["plaintext_length"] = least + slack
    below = slack < 0 or least + slack < 16
    assert bool(check(document)) == below
