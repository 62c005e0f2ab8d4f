"""The signed manifest: what an election is.

The election authority signs the manifest's hash offline; clients pin the authority's
key or the hash. The note's text is

    evote/manifest/v1\n<election id>\n<manifest hash as hex>\n

and the file that travels is JSON {"manifest": {...}, "note": "..."}.
"""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from typing import Any, NamedTuple

from votepyramid.protocol import notes
from votepyramid.protocol.encoding import (
    NotCanonical,
    ProtocolError,
    canonical_hex32,
    check_id,
    jcs,
    strict_json,
    unb64u,
)
from votepyramid.protocol.identifiers import key_id, manifest_hash
from votepyramid.protocol.suites import Suite, get_suite

MAX_SIGNED_MANIFEST_BYTES = 4 * 1024 * 1024
MAX_PLAINTEXT_LENGTH = 64 * 1024
MAX_RANKS = 64
# Who signs besides the ballot box, and what their key names end in.
SIGNERS = {"receipt_log": "log", "audit_log": "audit", "statements": "statements"}

Manifest = dict[str, Any]


class ManifestError(ProtocolError):
    """A manifest is unsigned, signed by another key, or cannot be used.

    `path` names the place, such as `styles/0/contests`, or is empty.
    """

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path


class ElectionKey(NamedTuple):
    """What a ballot is sealed to: suite, raw public key and its 32-byte id."""

    suite: Suite
    public: bytes
    kid: bytes


def parse_time(text: object) -> datetime | None:
    """An aware UTC time from its one spelling, `2026-11-23T08:00:00Z`, or None."""
    try:
        time = datetime.strptime(str(text), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return time if time.strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20) == text else None


def manifest_text(manifest: Manifest) -> str:
    """The text that the authority signs."""
    digest = manifest_hash(manifest).hex()
    return f"evote/manifest/v1\n{_election(manifest)}\n{digest}\n"


def sign_manifest(manifest: Manifest, signer: notes.Signer) -> dict[str, Any]:
    """The signed manifest {"manifest", "note"}. Raises ManifestError."""
    check_manifest(manifest)
    note = notes.sign(manifest_text(manifest), signer)
    return {"manifest": manifest, "note": note}


def open_manifest(signed: Any, authority_vkey: notes.VerifierKey | str) -> Manifest:
    """The manifest, when the authority signed it. Raises ManifestError."""
    manifest, note = _parts(signed)
    try:
        if isinstance(authority_vkey, str):
            authority_vkey = notes.VerifierKey.parse(authority_vkey)
        text = notes.open(note, authority_vkey).text
    except notes.NoteError as error:
        raise ManifestError(error.problem, "note") from None
    if text != manifest_text(manifest):
        raise ManifestError("the authority signed another manifest", "note")
    check_manifest(manifest)
    return manifest


def open_pinned(signed: Any, m: bytes) -> Manifest:
    """The manifest, when its hash is the pinned `m`. Raises ManifestError.

    The pin stands in for the authority's signature, which is not looked at.
    """
    manifest, _ = _parts(signed)
    if not hmac.compare_digest(_digest(manifest), m):
        raise ManifestError("the manifest is not the pinned one")
    check_manifest(manifest)
    return manifest


def dump_signed(signed: dict[str, Any]) -> bytes:
    """The bytes of a signed manifest's file: canonical JSON."""
    return jcs(signed)


def load_signed(data: bytes) -> dict[str, Any]:
    """The unverified content of a signed manifest's file. Raises ProtocolError."""
    signed = strict_json(data, MAX_SIGNED_MANIFEST_BYTES)
    _parts(signed)
    return {"manifest": signed["manifest"], "note": signed["note"]}


def style(manifest: Manifest, style_id: str) -> dict[str, Any]:
    """The ballot style of that id. Raises ManifestError."""
    for entry in _list(manifest, "styles"):
        if _get(entry, "id", str, "styles") == style_id:
            return dict(entry)
    raise ManifestError("the election has no such ballot style", "styles")


def contests(manifest: Manifest, style_id: str) -> list[dict[str, Any]]:
    """The contests of a style, in the order of the style. Raises ManifestError."""
    by_id = {_get(c, "id", str, "contests"): c for c in _list(manifest, "contests")}
    named = _list(style(manifest, style_id), "contests")
    if any(not isinstance(name, str) or name not in by_id for name in named):
        raise ManifestError("a style names an unknown contest", "styles")
    return [by_id[name] for name in named]


def choices(contest: dict[str, Any]) -> list[str]:
    """The ids of a contest's choices, in the order of the manifest."""
    return [_get(c, "id", str, "choices") for c in _list(contest, "choices")]


def plaintext_length(manifest: Manifest, style_id: str) -> int:
    """The fixed length, in bytes, of a style's padded plaintext."""
    return int(_get(style(manifest, style_id), "plaintext_length", int, "styles"))


def ciphertext_length(manifest: Manifest, style_id: str) -> int:
    """The one length, in bytes, that a style's sealed ballots have."""
    suite = get_suite(manifest.get("suite"))
    return plaintext_length(manifest, style_id) + suite.overhead


def largest_plaintext(manifest: Manifest, style_id: str) -> int:
    """The bytes that a style's longest ballot needs: every choice at every rank.

    The padding's first byte is counted; a plaintext_length below this is unusable.
    """
    fullest = {
        contest["id"]: [choices(contest)] * _get(contest, "ranks", int, "contests")
        for contest in contests(manifest, style_id)
    }
    return len(jcs(fullest)) + 1


def election_key(manifest: Manifest) -> ElectionKey:
    """The key that ballots are sealed to, its id checked. Raises ManifestError."""
    try:
        suite = get_suite(manifest.get("suite"))
        public = unb64u(manifest.get("public_key"), suite.public_length)
        kid = canonical_hex32(manifest.get("key_id"))
    except ProtocolError as error:
        raise ManifestError(error.problem, "public_key") from None
    if key_id(suite.id, public) != kid:
        raise ManifestError("key_id is not that of suite and public_key", "key_id")
    return ElectionKey(suite, public, kid)


def receipt_key(manifest: Manifest) -> tuple[str, notes.VerifierKey]:
    """The receipts' origin and the ballot box key. Raises ManifestError."""
    receipts = _get(manifest, "receipts", dict, "")
    origin = _get(receipts, "origin", str, "receipts")
    try:
        key = notes.VerifierKey.parse(_get(receipts, "key", str, "receipts"))
    except notes.NoteError as error:
        raise ManifestError(error.problem, "receipts/key") from None
    if not notes.is_name(origin):
        raise ManifestError("not a name without spaces", "receipts/origin")
    return origin, key


def signer(manifest: Manifest, name: str) -> notes.VerifierKey:
    """The key of SIGNERS that is called so. Raises ManifestError.

    Its own name says what it signs: the checkpoints of a log carry it as their
    origin (C2SP tlog-checkpoint).
    """
    origin, _ = receipt_key(manifest)
    try:
        key = notes.VerifierKey.parse(
            _get(_get(manifest, "signers", dict, ""), name, str, "signers")
        )
    except notes.NoteError as error:
        raise ManifestError(error.problem, f"signers/{name}") from None
    if key.name != signer_name(origin, name):
        raise ManifestError(
            f"is not named {signer_name(origin, name)}", f"signers/{name}"
        )
    return key


def signer_name(origin: str, name: str) -> str:
    """The key name of one of SIGNERS, beside the receipts' origin."""
    return f"{origin}/{SIGNERS[name]}"


def check_manifest(manifest: Manifest) -> None:
    """Raise ManifestError, naming the first problem, unless ballots can be cast.

    This is what the protocol itself relies on; the JSON Schema asks for more.
    """
    if type(manifest.get("version")) is not int or manifest["version"] != 1:
        raise ManifestError("a manifest of an unknown version", "version")
    _election(manifest)
    _digest(manifest)
    key = election_key(manifest)
    try:
        key.suite.check_public(key.public)
    except ProtocolError as error:
        raise ManifestError(error.problem, "public_key") from None
    receipt_key(manifest)
    _unique_ids(_list(manifest, "contests"), "contests")
    for index, contest in enumerate(manifest["contests"]):
        _check_contest(contest, f"contests/{index}")
    _unique_ids(_list(manifest, "styles"), "styles")
    if not manifest["styles"]:
        raise ManifestError("an election without ballot styles", "styles")
    for index, entry in enumerate(manifest["styles"]):
        _check_style(manifest, entry, f"styles/{index}")
    _check_precincts(manifest)


def _check_contest(contest: dict[str, Any], path: str) -> None:
    ranks = _get(contest, "ranks", int, path)
    if not 1 <= ranks <= MAX_RANKS:
        raise ManifestError(f"not from 1 to {MAX_RANKS}", f"{path}/ranks")
    entries = _list(contest, "choices", path)
    if not entries:
        raise ManifestError("a contest without choices", f"{path}/choices")
    _unique_ids(entries, f"{path}/choices")


def _check_style(manifest: Manifest, entry: dict[str, Any], path: str) -> None:
    named = _list(entry, "contests", path)
    if not named or len(set(map(str, named))) != len(named):
        raise ManifestError("contests are missing or repeated", f"{path}/contests")
    length = _get(entry, "plaintext_length", int, path)
    largest = largest_plaintext(manifest, entry["id"])
    if not largest <= length <= MAX_PLAINTEXT_LENGTH:
        raise ManifestError(
            f"not from {largest} to {MAX_PLAINTEXT_LENGTH}",
            f"{path}/plaintext_length",
        )


def _check_precincts(manifest: Manifest) -> None:
    seen: set[str] = set()
    for index, entry in enumerate(manifest["styles"]):
        path = f"styles/{index}/precincts"
        for precinct in _list(entry, "precincts", f"styles/{index}"):
            if not isinstance(precinct, str) or not precinct:
                raise ManifestError("a precinct is named by text", path)
            if precinct in seen:
                raise ManifestError("a precinct has two styles", path)
            seen.add(precinct)


def _unique_ids(entries: list[Any], path: str) -> None:
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        try:
            identifier = check_id(_get(entry, "id", str, f"{path}/{index}"))
        except NotCanonical as error:
            raise ManifestError(error.problem, f"{path}/{index}/id") from None
        if identifier in seen:
            raise ManifestError("an id is repeated", f"{path}/{index}/id")
        seen.add(identifier)


def _election(manifest: Manifest) -> str:
    try:
        return check_id(manifest.get("id"))
    except NotCanonical as error:
        raise ManifestError(error.problem, "id") from None


def _digest(manifest: Manifest) -> bytes:
    try:
        return manifest_hash(manifest)
    except NotCanonical as error:
        raise ManifestError(error.problem) from None


def _parts(signed: Any) -> tuple[Manifest, str]:
    if not isinstance(signed, dict) or set(signed) != {"manifest", "note"}:
        raise ManifestError("a signed manifest has exactly manifest and note")
    manifest = _get(signed, "manifest", dict, "")
    _digest(manifest)
    return manifest, _get(signed, "note", str, "")


def _list(value: Any, name: str, path: str = "") -> list[Any]:
    return list(_get(value, name, list, path))


def _get(value: Any, name: str, kind: type, path: str) -> Any:
    found = value.get(name) if isinstance(value, dict) else None
    if type(found) is not kind:
        where = f"{path}/{name}" if path else name
        raise ManifestError(f"missing or not of type {kind.__name__}", where)
    return found
