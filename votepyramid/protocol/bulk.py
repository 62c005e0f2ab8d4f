"""A million leaves, receipts or events of one election, each checked as one would be.

All leaves of an election have one length and differ only in two hashes; all its
receipts differ in those, the leaf hash and the signature. So they are matched with a
pattern, many times faster than JSON is parsed. What a form takes
are exactly the canonical bytes that `leaf.parse_leaf`, `receipt.parse_answer` and
`auditevent.parse_entry` take.
"""

from __future__ import annotations

import binascii
import re
from typing import NamedTuple

from votepyramid.protocol import notes
from votepyramid.protocol.auditevent import parse_entry
from votepyramid.protocol.encoding import NotCanonical, b64
from votepyramid.protocol.leaf import leaf_bytes, leaf_hash
from votepyramid.protocol.receipt import answer_bytes, receipt_text

# The last character of 32 bytes, as of 68, carries four bits, and two that are zero.
_HASH = rb"([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])"
_SIGNED = rb"(?P<signed>[A-Za-z0-9+/]{90}[AEIMQUYcgkosw048]=)"
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_SIGNATURE = 64
# An event without detail, its texts free of what JSON escapes. The 22nd character of
# 16 bytes carries two bits, and four that are zero.
_EVENT = (
    rb'{"at":"([0-9TZ:-]{20})","detail":{},"e":"%s","kind":"([a-z][a-z0-9_]{0,62})",'
    rb'"n":"[A-Za-z0-9_-]{21}[AQgw]","subject":(?:null|"([!#-\[\]-~]{1,128})"),"v":1}'
)


class TagAndCiphertext(NamedTuple):
    """What tells the leaves of one election apart, 32 bytes each."""

    t: bytes
    c: bytes


class SignedLeaf(NamedTuple):
    """A leaf's bytes that the ballot box signed for, and their hash."""

    leaf: bytes
    digest: bytes


class KindAndSubject(NamedTuple):
    """What a count of events is made of."""

    kind: str
    subject: str | None


class LeafForm:
    """The leaves of the election `e` with the manifest hash `m`.

    `pattern` is theirs; it has a group for `c` and one for `t`.
    """

    def __init__(self, e: str, m: bytes) -> None:
        filled = leaf_bytes(bytes(32), e, m, bytes(32))
        c, t = filled.index(b'"c":"') + 5, filled.rindex(b'"t":"') + 5
        parts = filled[:c], filled[c + 43 : t], filled[t + 43 :]
        self.pattern = _HASH.join(map(re.escape, parts))
        self._compiled = re.compile(self.pattern)

    def read(self, leaf: bytes) -> TagAndCiphertext:
        """Raises NotCanonical for what is no leaf of this election."""
        found = self._compiled.fullmatch(leaf)
        if found is None:
            raise NotCanonical("not a leaf of this election")
        return TagAndCiphertext(_decoded(found[2]), _decoded(found[1]))


class ReceiptForm:
    """The stored answers to accepted casts of one election.

    `key` is the ballot box's, which alone signs them; its name is their origin.
    """

    def __init__(self, e: str, m: bytes, key: notes.VerifierKey) -> None:
        self._key = key
        leaf = leaf_bytes(bytes(32), e, m, bytes(32))
        digest = leaf_hash(leaf)
        text = receipt_text(key.name, m, digest)
        head, encoded, tail = text.partition(b64(digest))
        self._head, self._tail = head.encode(), tail.encode()
        line = notes.SignatureLine(key.name, key.key_id, bytes(_SIGNATURE))
        rest = answer_bytes(leaf, f"{text}\n{notes.signature_line(line)}")
        pattern = b""
        for value, form in (
            (leaf, rb"(?P<leaf>%s)" % LeafForm(e, m).pattern),
            (encoded.encode(), rb"(?P<encoded>[A-Za-z0-9+/]{43}=)"),
            (b64(key.key_id + bytes(_SIGNATURE)).encode(), _SIGNED),
            (digest.hex().encode(), rb"(?P<hex>[0-9a-f]{64})"),
        ):
            before, _, rest = rest.partition(value)
            pattern += re.escape(before) + form
        self._compiled = re.compile(pattern + re.escape(rest))

    def read(self, answer: bytes) -> bytes:
        """The hash of the leaf that the ballot box signed for. Raises NotCanonical."""
        return self.open(answer).digest

    def open(self, answer: bytes) -> SignedLeaf:
        """The leaf that the ballot box signed for. Raises NotCanonical.

        Its signature is verified (RFC 8032).
        """
        found = self._compiled.fullmatch(answer)
        if found is None:
            raise NotCanonical("not a receipt of this election")
        leaf, encoded, signed, hexed = found.group("leaf", "encoded", "signed", "hex")
        digest = leaf_hash(leaf)
        if (encoded, hexed) != (b64(digest).encode(), digest.hex().encode()):
            raise NotCanonical("a receipt for another leaf")
        blob = binascii.a2b_base64(signed)
        if blob[:4] != self._key.key_id:
            raise NotCanonical("a receipt's signature is another key's")
        if not self._key.verify(self._head + encoded + self._tail, blob[4:]):
            raise NotCanonical("a receipt that the ballot box did not sign")
        return SignedLeaf(leaf, digest)


class EventForm:
    """The audit events of the election `e`.

    Most have no detail and a time of which there are few. Any other is parsed.
    """

    def __init__(self, e: str) -> None:
        self._e = e
        self._pattern = re.compile(_EVENT % re.escape(e).encode())
        self._times: set[bytes] = set()

    def read(self, entry: bytes) -> KindAndSubject:
        """Raises NotCanonical for what is no event of this election."""
        found = self._pattern.fullmatch(entry)
        if found is not None and found[1] in self._times:
            kind, subject = found[2].decode(), found[3]
            return KindAndSubject(kind, subject.decode() if subject else None)
        event = parse_entry(entry)
        if event.election != self._e:
            raise NotCanonical("an event of another election")
        if found is not None:
            self._times.add(found[1])
        return KindAndSubject(event.kind, event.subject)


def _decoded(encoded: bytes) -> bytes:
    """32 bytes out of their base64url, which the pattern took."""
    return binascii.a2b_base64(encoded.translate(_TO_STANDARD) + b"=")
