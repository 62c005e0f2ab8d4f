"""Everything that can be wrong with a manifest, each problem with its path.

The JSON Schema beside this file gives the shape; the checks here give the sense.
Both run over the whole document, so that one look mends it. A path is like
`styles/0/precincts/3`; empty means the document itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend

from votepyramid.eligibility.policy import PolicyInvalid, PolicySet
from votepyramid.protocol import manifest as protocol
from votepyramid.protocol.encoding import ProtocolError, jcs, unb64u
from votepyramid.protocol.identifiers import key_id
from votepyramid.protocol.notes import VerifierKey
from votepyramid.protocol.suites import SUITES

# What `election prepare` fills in where a draft leaves it out.
PREPARED = frozenset(
    {"suite", "public_key", "key_id", "eligibility", "rate", "receipts", "signers"}
)
_SHOWN = 60


@dataclass(frozen=True, order=True)
class ManifestProblem:
    """One thing to mend, and where."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path or 'manifest'}: {self.message}"


class ManifestInvalid(ValueError):
    """A manifest cannot be used; `problems` is everything that is wrong with it."""

    def __init__(self, problems: list[ManifestProblem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def check(document: Any, *, draft: bool = False) -> list[ManifestProblem]:
    """Every problem of a manifest, in order of path; none when it can be used.

    A `draft` may leave out what `election prepare` fills in (PREPARED).
    """
    problems = set(_shape(document, draft))
    if isinstance(document, dict):
        for sense in _SENSES:
            problems.update(sense(document))
    if not problems and not draft:
        # The protocol's own check, which clients run, has the last word.
        problems.update(_protocol(document))
    return sorted(problems)


def require(document: Any, *, draft: bool = False) -> None:
    """Raise ManifestInvalid unless `check` finds nothing."""
    if problems := check(document, draft=draft):
        raise ManifestInvalid(problems)


def _is_integer(_checker: Any, value: Any) -> bool:
    # JSON Schema takes 300.0 for an integer; canonical JSON would hash both alike
    # while our readers would not.
    return type(value) is int


def _pattern(
    _validator: Any, pattern: str, value: Any, _schema: Any
) -> Iterator[ValidationError]:
    # JSON Schema's patterns are ECMAScript's, where `$` is the very end; in Python
    # it would let one newline pass.
    if isinstance(value, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), value):
        yield ValidationError("does not match")


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    """The JSON Schema of a manifest (draft 2020-12)."""
    file = resources.files("votepyramid.elections").joinpath("manifest.schema.json")
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return document


@lru_cache(maxsize=2)
def _validator(draft: bool) -> Validator:
    types = Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer)
    strict: Any = extend(  # type: ignore[no-untyped-call]
        Draft202012Validator, {"pattern": _pattern}, type_checker=types
    )
    document = schema()
    if draft:
        required = [name for name in document["required"] if name not in PREPARED]
        definitions = dict(document["$defs"])
        for name in PREPARED & set(definitions):
            definitions[name] = {**definitions[name], "required": []}
        document = {**document, "required": required, "$defs": definitions}
    made: Validator = strict(document)
    return made


def _shape(document: Any, draft: bool) -> Iterator[ManifestProblem]:
    for error in _validator(draft).iter_errors(document):
        yield from _readable(error)


def _readable(error: ValidationError) -> Iterator[ManifestProblem]:
    """A schema error in our words, one problem for each member it concerns."""
    path = "/".join(map(str, error.absolute_path))
    kind = str(error.validator)
    asked: Any = error.validator_value
    value: Any = error.instance
    shape: Any = error.schema
    if kind == "additionalProperties" and asked is False:
        for name in value:
            if name not in shape["properties"]:
                yield ManifestProblem(_join(path, name), "not a known member")
    elif kind == "required":
        for name in asked:
            if name not in value:
                yield ManifestProblem(_join(path, name), "is missing")
    elif "propertyNames" in error.absolute_schema_path:
        yield ManifestProblem(_join(path, str(value)), f"name does not match {asked}")
    else:
        words = _WORDS.get(kind)
        message = words(asked) if words else error.message[:_SHOWN]
        yield ManifestProblem(path, f"{message}; it is {_shown(value)}")


_WORDS: dict[str, Callable[[Any], str]] = {
    "const": lambda asked: f"must be {asked}",
    "enum": lambda asked: "must be one of " + ", ".join(map(str, asked)),
    "maximum": lambda asked: f"must be {asked} at most",
    "maxItems": lambda asked: f"must have {asked} members at most",
    "maxLength": lambda asked: f"must have {asked} characters at most",
    "maxProperties": lambda asked: f"must have {asked} members at most",
    "minimum": lambda asked: f"must be {asked} at least",
    "minItems": lambda asked: f"must have {asked} members at least",
    "minLength": lambda asked: f"must have {asked} characters at least",
    "pattern": lambda asked: f"must match {asked}",
    "type": lambda asked: f"must be of type {asked}",
}


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _canonical(document: dict[str, Any]) -> Iterator[ManifestProblem]:
    try:
        jcs(document)
    except ProtocolError as error:
        yield ManifestProblem("", error.problem)


def _period(document: dict[str, Any]) -> Iterator[ManifestProblem]:
    times = {
        name: protocol.parse_time(document.get(name)) for name in ("opens", "closes")
    }
    for name, time in times.items():
        if time is None and name in document:
            yield ManifestProblem(name, "is not a time like 2026-11-23T08:00:00Z")
    opens, closes = times["opens"], times["closes"]
    if opens and closes and opens >= closes:
        yield ManifestProblem("closes", "must be later than opens")


def _contests(document: dict[str, Any]) -> Iterator[ManifestProblem]:
    yield from _repeated(document.get("contests"), "contests")
    used = {
        name
        for _, style in _objects(document.get("styles"))
        for _, name in _texts(style.get("contests"))
    }
    for index, contest in _objects(document.get("contests")):
        yield from _repeated(contest.get("choices"), f"contests/{index}/choices")
        if isinstance(contest.get("id"), str) and contest["id"] not in used:
            yield ManifestProblem(f"contests/{index}", "is on no ballot style")


def _styles(document: dict[str, Any]) -> Iterator[ManifestProblem]:
    yield from _repeated(document.get("styles"), "styles")
    known = set(_contests_by_id(document))
    for index, style in _objects(document.get("styles")):
        path, seen = f"styles/{index}", set()
        for at, name in _texts(style.get("contests")):
            if name not in known:
                yield ManifestProblem(f"{path}/contests/{at}", "no such contest")
            if name in seen:
                yield ManifestProblem(f"{path}/contests/{at}", "is repeated")
            seen.add(name)
        yield from _length(document, style, path)


def _length(
    document: dict[str, Any], style: dict[str, Any], path: str
) -> Iterator[ManifestProblem]:
    length = style.get("plaintext_length")
    try:
        if _least(document, style) > protocol.MAX_PLAINTEXT_LENGTH:
            yield ManifestProblem(path, "its fullest ballot does not fit any length")
            return
        # By itself, so that a repeated id does not hide the second of two styles.
        largest = protocol.largest_plaintext(
            {**document, "styles": [style]}, style["id"]
        )
    except (ProtocolError, LookupError, TypeError, ValueError):
        return  # What is wrong there has a path of its own.
    if type(length) is int and length < largest:
        yield ManifestProblem(
            f"{path}/plaintext_length",
            f"must be {largest} at least: the fullest ballot needs that many bytes",
        )


def _least(document: dict[str, Any], style: dict[str, Any]) -> int:
    """Fewer bytes than the fullest ballot has, found without making one."""
    contests = _contests_by_id(document)
    named = [contests[name] for _, name in _texts(style.get("contests"))]
    return sum(int(c["ranks"]) * 3 * len(c["choices"]) for c in named)


def _precincts(document: dict[str, Any]) -> Iterator[ManifestProblem]:
    seen: dict[str, int] = {}
    for index, style in _objects(document.get("styles")):
        for at, precinct in _texts(style.get("precincts")):
            path = f"styles/{index}/precincts/{at}"
            if precinct != precinct.strip():
                yield ManifestProblem(path, "has space around it")
            if precinct in seen:
                yield ManifestProblem(
                    path, f"is in styles/{seen[precinct]} already: one style each"
                )
            seen.setdefault(precinct, index)


def _key(document: dict[str, Any]) -> Iterator[ManifestProblem]:
    suite = SUITES.get(str(document.get("suite")))
    if suite is None or not isinstance(document.get("public_key"), str):
        return
    try:
        public = unb64u(document["public_key"], suite.public_length)
        suite.check_public(public)
    except ProtocolError as error:
        yield ManifestProblem("public_key", error.problem)
        return
    if "key_id" in document and document["key_id"] != key_id(suite.id, public).hex():
        yield ManifestProblem("key_id", "is not that of suite and public_key")


def _policy(document: dict[str, Any]) -> Iterator[ManifestProblem]:
    eligibility = document.get("eligibility")
    if not isinstance(eligibility, dict):
        return
    text, attributes = eligibility.get("policy"), eligibility.get("attributes")
    if not isinstance(text, str) or not isinstance(attributes, dict):
        return
    try:
        PolicySet(text, attributes)
    except PolicyInvalid as error:
        for problem in error.problems:
            named = problem.startswith("attribute ")
            place = "attributes" if named else "policy"
            yield ManifestProblem(f"eligibility/{place}", problem)


def _receipts(document: dict[str, Any]) -> Iterator[ManifestProblem]:
    receipts = document.get("receipts")
    key = receipts.get("key") if isinstance(receipts, dict) else None
    if not isinstance(key, str):
        return
    try:
        VerifierKey.parse(key)
    except ProtocolError as error:
        yield ManifestProblem("receipts/key", error.problem)


def _signers(document: dict[str, Any]) -> Iterator[ManifestProblem]:
    receipts, signers = document.get("receipts"), document.get("signers")
    if not isinstance(receipts, dict) or not isinstance(signers, dict):
        return
    for name in protocol.SIGNERS:
        if not isinstance(signers.get(name), str):
            continue
        try:
            protocol.signer(document, name)
        except protocol.ManifestError as error:
            yield _said(error)


def _protocol(document: dict[str, Any]) -> Iterator[ManifestProblem]:
    try:
        protocol.check_manifest(document)
    except protocol.ManifestError as error:
        yield _said(error)


def _said(error: protocol.ManifestError) -> ManifestProblem:
    return ManifestProblem(error.path, error.problem.removeprefix(f"{error.path}: "))


_SENSES: tuple[Callable[[dict[str, Any]], Iterator[ManifestProblem]], ...] = (
    _canonical,
    _period,
    _contests,
    _styles,
    _precincts,
    _key,
    _policy,
    _receipts,
    _signers,
)


def _repeated(entries: Any, path: str) -> Iterator[ManifestProblem]:
    seen = set()
    for index, entry in _objects(entries):
        name = entry.get("id")
        if not isinstance(name, str):
            continue
        if name in seen:
            yield ManifestProblem(f"{path}/{index}/id", "is repeated")
        seen.add(name)


def _contests_by_id(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    named = (contest for _, contest in _objects(document.get("contests")))
    return {c["id"]: c for c in named if isinstance(c.get("id"), str)}


def _objects(value: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for index, entry in enumerate(value if isinstance(value, list) else ()):
        if isinstance(entry, dict):
            yield index, entry


def _texts(value: Any) -> Iterator[tuple[int, str]]:
    for index, entry in enumerate(value if isinstance(value, list) else ()):
        if isinstance(entry, str):
            yield index, entry


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
