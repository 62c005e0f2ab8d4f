"""Eligibility as a Cedar policy set: who may claim a token, who may still cast.

An election's manifest carries the policy text and declares the roster attributes it
asks for. Both are fixed before the election opens, so everything is checked when a
`PolicySet` is made and nothing is left to find out at a claim. What a policy sees:

    principal   Voter; `principal has roster` when on the roster, then
                `principal.roster.precinct` and the declared attributes
    action      Action::"claim" or Action::"cast"
    resource    BallotStyle; `resource.precincts` is a set of precinct names
    context     `context.accepting`: the election takes claims (or casts) now

Cedar denies by default and a `forbid` always wins. Every `forbid` names its rule
with `@reason("...")`: that is what the voter and the audit log are told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Any, Literal

import cedarpy

from votepyramid.protocol.encoding import H

Action = Literal["claim", "cast"]

ATTRIBUTE_TYPES = ("Bool", "Long", "String")
ATTRIBUTE_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
# Columns of a roster file that are not attributes.
RESERVED_ATTRIBUTES = frozenset({"precinct", "voter_id"})
REASON = re.compile(r"[a-z][a-z0-9_]{0,62}")
MAX_POLICY_CHARACTERS = 64 * 1024

NO_RULE = "no_rule"
POLICY_ERROR = "policy_error"

# Fixed for manifests of version 1: another text is another policy hash, and the
# elections that are under way were signed with this one.
_SCHEMA = """\
entity Election;
entity BallotStyle in [Election] = {{ "precincts": Set<String> }};
entity Voter = {{ "roster"?: {{ "precinct": String{attributes} }} }};
action "claim", "cast" appliesTo {{
  principal: [Voter],
  resource: [BallotStyle],
  context: {{ "accepting": Bool }}
}};
"""


class PolicyInvalid(ValueError):
    """A policy cannot be used; `problems` says everything that is wrong with it."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True)
class VoterFacts:
    """What the roster says of one voter; `attributes` by their declared types."""

    ref: str
    on_roster: bool
    precinct: str = ""
    attributes: Mapping[str, bool | int | str] = field(default_factory=dict)


@dataclass(frozen=True)
class ElectionFacts:
    """The ballot style asked for, its precincts, and whether the window is open."""

    style: str
    precincts: frozenset[str]
    accepting: bool


@dataclass(frozen=True)
class Decision:
    """`reason` is None exactly when allowed."""

    allowed: bool
    reason: str | None = None


class PolicySet:
    """A validated policy set. Immutable; threads may share it.

    Raises PolicyInvalid listing every problem of text and attributes.
    """

    def __init__(self, policy_text: str, attributes: Mapping[str, str]) -> None:
        problems = _attribute_problems(attributes)
        if problems:
            raise PolicyInvalid(problems)
        schema_text = _schema_text(attributes)
        schema = cedarpy.Schema.from_str(schema_text)
        problems, self._reasons = _policy_problems(policy_text, schema)
        if problems:
            raise PolicyInvalid(problems)
        self._schema = schema
        self._policies = cedarpy.PolicySet.from_str(policy_text)
        # The text as it was signed, not some library's rendering of it.
        self.hash = H("evote/policy/v1", policy_text, schema_text).hex()

    def decide(
        self, facts: VoterFacts, action: Action, election: ElectionFacts
    ) -> Decision:
        """May this voter do this? Never raises: what cannot be decided is denied."""
        return self.decide_all([(facts, election)], action)[0]

    def decide_all(
        self, cases: Sequence[tuple[VoterFacts, ElectionFacts]], action: Action
    ) -> list[Decision]:
        """One decision a case, in order; one bad case does not touch the others.

        The cases are of one election: a style has one set of precincts.
        """
        decisions = self._evaluate(cases, action)
        if len(cases) > 1 and any(d is None for d in decisions):
            # Cedar reads the entities of a batch as one document: a single row
            # with an impossible value left the whole batch undecided.
            decisions = [self._evaluate([case], action)[0] for case in cases]
        return [decision or Decision(False, POLICY_ERROR) for decision in decisions]

    def _evaluate(
        self, cases: Sequence[tuple[VoterFacts, ElectionFacts]], action: Action
    ) -> list[Decision | None]:
        entities: dict[tuple[str, str], dict[str, Any]] = {}
        requests = []
        for index, (voter, election) in enumerate(cases):
            # The index, not the ref: one voter may be asked for twice.
            entities["Voter", str(index)] = _voter_entity(str(index), voter)
            entities["BallotStyle", election.style] = _style_entity(election)
            requests.append(_request(str(index), action, election))
        try:
            results = cedarpy.is_authorized_batch(
                requests, self._policies, list(entities.values()), self._schema
            )
        except (TypeError, ValueError, OverflowError):
            # Facts that are no Cedar values, such as a null in a roster row.
            return [None] * len(cases)
        return [self._read(result) for result in results]

    def _read(self, result: Any) -> Decision | None:
        if result.decision == cedarpy.Decision.NoDecision:
            return None
        if result.diagnostics.errors:
            return Decision(False, POLICY_ERROR)
        if result.allowed:
            return Decision(True)
        determining = sorted(result.diagnostics.reasons, key=_policy_number)
        reason = self._reasons[determining[0]] if determining else NO_RULE
        return Decision(False, reason)


@lru_cache(maxsize=64)
def _compiled(policy_text: str, attributes: tuple[tuple[str, str], ...]) -> PolicySet:
    return PolicySet(policy_text, dict(attributes))


def load(eligibility: Mapping[str, Any]) -> PolicySet:
    """The policy set of a manifest's `eligibility`, parsed once per process."""
    return _compiled(
        eligibility["policy"], tuple(sorted(eligibility["attributes"].items()))
    )


@lru_cache(maxsize=1)
def default_policy() -> str:
    """The text of `default.cedar`, for drafts that bring no rules of their own."""
    file = resources.files("votepyramid.eligibility").joinpath("default.cedar")
    return file.read_text(encoding="utf-8")


def _attribute_problems(attributes: Mapping[str, str]) -> list[str]:
    problems = []
    for name, kind in attributes.items():
        if not ATTRIBUTE_NAME.fullmatch(name):
            problems.append(f"attribute {name!r}: not {ATTRIBUTE_NAME.pattern}")
        elif name in RESERVED_ATTRIBUTES:
            problems.append(f"attribute {name!r}: the name is taken by every roster")
        if kind not in ATTRIBUTE_TYPES:
            problems.append(
                f"attribute {name!r}: type {kind!r} is none of "
                + ", ".join(ATTRIBUTE_TYPES)
            )
    return problems


def _schema_text(attributes: Mapping[str, str]) -> str:
    declared = "".join(f', "{n}": {attributes[n]}' for n in sorted(attributes))
    return _SCHEMA.format(attributes=declared)


def _policy_problems(text: str, schema: Any) -> tuple[list[str], dict[str, str]]:
    """Every problem of a policy text, and the reasons of its forbids by policy id."""
    if len(text) > MAX_POLICY_CHARACTERS:
        return [f"longer than {MAX_POLICY_CHARACTERS} characters"], {}
    try:
        parsed = json.loads(cedarpy.policies_to_json_str(text))
    except ValueError as error:
        return [str(error)], {}
    problems = [e.error for e in cedarpy.validate_policies(text, schema).errors]
    if parsed["templates"]:
        problems.append("templates (?principal, ?resource) are not used here")
    policies = parsed["staticPolicies"]
    if not any(policy["effect"] == "permit" for policy in policies.values()):
        problems.append("no permit policy: nobody could ever vote")
    reasons: dict[str, str] = {}
    for policy_id in sorted(policies, key=_policy_number):
        policy = policies[policy_id]
        if policy["effect"] != "forbid":
            continue
        reason = policy.get("annotations", {}).get("reason") or ""
        if not REASON.fullmatch(reason):
            problems.append(
                f"for policy `{policy_id}`, a forbid names its rule: "
                f'@reason("...") of the form {REASON.pattern}'
            )
        reasons[policy_id] = reason
    return problems, reasons


def _policy_number(policy_id: str) -> int:
    # Cedar numbers policies in the order of the text: policy0, policy1, ...
    return int(policy_id.removeprefix("policy"))


def _voter_entity(key: str, voter: VoterFacts) -> dict[str, Any]:
    row = {"roster": {**voter.attributes, "precinct": voter.precinct}}
    return {
        "uid": {"type": "Voter", "id": key},
        "attrs": row if voter.on_roster else {},
        "parents": [],
    }


def _style_entity(election: ElectionFacts) -> dict[str, Any]:
    return {
        "uid": {"type": "BallotStyle", "id": election.style},
        "attrs": {"precincts": sorted(election.precincts)},
        "parents": [],
    }


def _request(key: str, action: Action, election: ElectionFacts) -> dict[str, Any]:
    return {
        "principal": {"type": "Voter", "id": key},
        "action": {"type": "Action", "id": action},
        "resource": {"type": "BallotStyle", "id": election.style},
        "context": {"accepting": election.accepting},
    }
