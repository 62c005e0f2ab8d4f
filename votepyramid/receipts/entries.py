"""What the log of receipts is made of: the leaf of each accepted vote.

Whoever can insert a vote's row chooses what is in it, and an entry stays for ever: with
one that is no vote of the election, or a second one under a tag, the election could
never be finished. So each row is held to its receipt, and that to the manifest, before
it is appended. A row that was never logged can still be deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from votepyramid.elections import service as elections
from votepyramid.errors import Refused
from votepyramid.logs.store import LogDamaged
from votepyramid.protocol.bulk import LeafForm, ReceiptForm
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.manifest import receipt_key
from votepyramid.votes import service as votes
from votepyramid.votes.service import Promised


def entries(
    connection: Connection, election: str, receipt_hashes: Sequence[str]
) -> list[bytes]:
    """The leaves that were promised, in the order asked for.

    Raises LogDamaged for a vote that is gone, or another election's, or not what the
    ballot box signed for; also where the manifest does not say what that would be.
    """
    forms = _forms(connection, election)
    rows = votes.promised(connection, receipt_hashes)
    return [forms.leaf(wanted, rows.get(wanted)) for wanted in receipt_hashes]


@dataclass(frozen=True)
class _Forms:
    """What the votes of one election look like, by its manifest."""

    election: str
    receipts: ReceiptForm
    leaves: LeafForm

    def leaf(self, wanted: str, row: Promised | None) -> bytes:
        """The leaf of the vote with this receipt hash. Raises LogDamaged."""
        if row is None:
            raise LogDamaged(f"the vote {wanted} waits for the log, and is gone")
        if row.election != self.election:
            raise LogDamaged(
                f"the vote {wanted} waits for the log of {self.election}, and is of "
                "another election"
            )
        try:
            leaf, digest = self.receipts.open(row.receipt.encode())
            said = self.leaves.read(leaf)
        except ProtocolError as error:
            raise LogDamaged(
                f"the receipt of {wanted} does not hold: {error.problem}"
            ) from None
        if digest.hex() != wanted:
            raise LogDamaged(f"the receipt of {wanted} is another vote's")
        if said != (row.tag, row.ciphertext_hash):
            raise LogDamaged(
                f"the vote {wanted} has another tag or ciphertext than its receipt"
            )
        return leaf


def _forms(connection: Connection, election: str) -> _Forms:
    try:
        view = elections.get(connection, election)
        _, key = receipt_key(view.manifest)
    except ProtocolError as error:
        raise LogDamaged(
            f"the manifest of {election} names no ballot box to hold its votes to: "
            f"{error.problem}"
        ) from None
    except (Refused, LookupError, TypeError, ValueError) as error:
        # A row that the ceremony did not write; its text may be anything.
        raise LogDamaged(
            f"the manifest of {election} cannot be read ({type(error).__name__}), so "
            "its votes cannot be held to it"
        ) from None
    m = view.manifest_hash
    return _Forms(election, ReceiptForm(election, m, key), LeafForm(election, m))
