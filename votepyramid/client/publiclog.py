"""`votepyramid verify` and the public log: is the vote in it, and is it still one log?

What was seen is kept beside the receipt: the proof (`.tlog-proof`), and the newest
checkpoint (`.checkpoint`), which the next one must begin with. So whoever kept only a
receipt sees a log that was forked, or set back, between two of these checks. Of the
audit log a checkpoint is all that is public (`auditlog.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from votepyramid.client import auditlog, files, missing
from votepyramid.client.checks import Report
from votepyramid.client.errors import BallotFileError
from votepyramid.client.evidence import CONFLICT, PROOF, SEEN, Broken, beside, read
from votepyramid.client.logserver import LogServer
from votepyramid.client.policy import RetryPolicy
from votepyramid.client.transport import Transport
from votepyramid.protocol import manifest as manifests
from votepyramid.protocol import merkle
from votepyramid.protocol.checkpoint import (
    MAX_CHECKPOINT_BYTES,
    Checkpoint,
    open_checkpoint,
)
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.manifest import Manifest
from votepyramid.protocol.policy import MAX_POLICY_BYTES, Log, Policy
from votepyramid.protocol.tlogproof import MAX_PROOF_BYTES, TlogProof


def read_policy(path: Path) -> Policy:
    """A voter's own policy: whose cosignatures are enough. Raises BallotFileError."""
    try:
        return Policy.parse(read(path, MAX_POLICY_BYTES) or b"")
    except ProtocolError as error:
        raise BallotFileError(
            f"{path} is not a policy: {error.problem}",
            "Give a C2SP tlog-policy file.",
        ) from None


def check_proof(report: Report, proof: Path, policy: Policy | None) -> Report:
    """Check a saved `.tlog-proof` without any server."""

    def checks(found: _Log) -> None:
        data = read(proof, MAX_PROOF_BYTES)
        if data is None:
            raise BallotFileError(f"there is no {proof}")
        found.included(data)

    return _checked(report, policy, checks)


def check_online(
    report: Report,
    receipt: Path,
    server: Transport,
    policy: Policy | None,
    patience: float,
) -> Report:
    """Ask the server, compare with what was seen the last time, and keep the newer.

    `patience` bounds each question, in seconds. Raises CannotCheck.
    """

    def checks(found: _Log) -> None:
        asked = LogServer(server, found.election, RetryPolicy(deadline=patience))
        seen = found.seen(receipt)
        proof, closing = asked.proof(report.receipt_hash), asked.closing()
        if proof is None and closing is not None:
            # It may have come in between the two answers; after the second it cannot.
            proof = asked.proof(report.receipt_hash)
        if proof is None:
            found.shown(asked.checkpoint(), seen)
        else:
            found.included(proof)
        _compare(found, seen, asked, receipt)
        if proof is not None:
            files.save(beside(receipt, PROOF), proof)
        looked = missing.Looked(found.manifest, found.head, seen, receipt, found.ok)
        if closing is not None:
            # First: whatever the audit log's checkpoint is, it must not hide this. Also
            # with a proof, which may be of a log that was made for this voter alone.
            missing.final(looked, asked, closing, in_it=proof is not None)
        auditlog.look(found.manifest, receipt, asked, found.ok)
        if proof is None:
            missing.waiting(looked, asked)

    return _checked(report, policy, checks)


class _Log:
    """The log of the pinned manifest, the voter's leaf, and the checks that held."""

    def __init__(
        self, manifest: Manifest, receipt_hash: str, policy: Policy | None
    ) -> None:
        try:
            self.key = manifests.signer(manifest, "receipt_log")
        except ProtocolError:
            problem = "the manifest names no key of a public log"
            raise Broken("log_key", problem) from None
        self.manifest = manifest
        self.election = str(manifest["id"])
        self.passed: list[tuple[str, str]] = []
        self.note = ""
        self.head = Checkpoint("none", 0, merkle.EMPTY_ROOT)
        self._leaf = bytes.fromhex(receipt_hash)
        self._policy = policy and replace(policy, logs=(Log(self.key),))

    def ok(self, check: str, told: str) -> None:
        self.passed.append((check, told))

    def open(self, note: str) -> None:
        """Take a checkpoint that the log signed, and enough witnesses."""
        try:
            self.head = open_checkpoint(note, self.key.name, self.key)
        except ProtocolError as error:
            raise Broken("log_signature", error.problem) from None
        self.note = note
        self.ok("log_signature", f"the log signed a checkpoint of {self.head.size}")
        if self._policy is not None:
            try:
                self._policy.open(note, self.key.name)
            except ProtocolError as error:
                raise Broken("witnesses", error.problem) from None
            self.ok("witnesses", "enough witnesses of your policy cosigned it")

    def included(self, data: bytes) -> None:
        """The voter's leaf is in the log of the proof's own checkpoint."""
        try:
            proof = TlogProof.parse(data)
        except ProtocolError as error:
            raise Broken("proof", error.problem) from None
        self.open(proof.note)
        try:
            merkle.verify_inclusion(
                self._leaf, proof.index, self.head.size, proof.hashes, self.head.root
            )
        except ProtocolError as error:
            raise Broken("included", error.problem) from None
        self.ok("included", f"your ballot is entry {proof.index} of the public log")

    def shown(self, note: str | None, seen: Checkpoint | None) -> None:
        """The server gave no proof, but perhaps a checkpoint."""
        if note is not None:
            self.open(note)
        elif seen is not None:
            raise Broken("rollback", _gone(seen.size, 0))

    def seen(self, receipt: Path) -> Checkpoint | None:
        """The checkpoint that was kept the last time."""
        path = beside(receipt, SEEN)
        data = read(path, MAX_CHECKPOINT_BYTES)
        if data is None:
            return None
        try:
            return open_checkpoint(data.decode(), self.key.name, self.key)
        except (ProtocolError, UnicodeDecodeError):
            problem = f"{path} is not a checkpoint of this log"
            raise Broken("seen", problem) from None


def _checked(
    report: Report, policy: Policy | None, checks: Callable[[_Log], None]
) -> Report:
    """The report with the checks of the log, up to the first that failed."""
    if report.failed is not None or report.election is None:
        return report
    passed: list[tuple[str, str]] = []
    failed: tuple[str, str] | None = None
    try:
        found = _Log(report.election.manifest, report.receipt_hash, policy)
        passed = found.passed
        checks(found)
    except Broken as broken:
        failed = (broken.check, broken.problem)
    return replace(
        report, passed=(*report.passed, *passed), failed=failed, in_log=failed is None
    )


def _compare(
    found: _Log, seen: Checkpoint | None, asked: LogServer, receipt: Path
) -> None:
    """What is shown now and what was seen must be one log; the newer one is kept."""
    if not found.note:
        return
    try:
        if seen is not None:
            _grew(found, seen, asked)
    except Broken:
        # Two checkpoints with the log's signature: nobody can talk that away.
        files.save(beside(receipt, CONFLICT), found.note.encode())
        raise
    if seen is None or found.head.size >= seen.size:
        files.save(beside(receipt, SEEN), found.note.encode())


def _grew(found: _Log, seen: Checkpoint, asked: LogServer) -> None:
    now = found.head
    # A cache may show an older checkpoint for a while; then the rest is still there.
    old, new = sorted((seen, now), key=lambda one: one.size)
    proof: list[bytes] | None = []
    if old.size not in (0, new.size):
        proof = asked.consistency(old.size, new.size)
    if proof is None and now.size < seen.size:
        raise Broken("rollback", _gone(seen.size, now.size))
    if proof is None:
        problem = f"no proof that {new.size} entries begin with the {old.size} you saw"
        raise Broken("growth", problem)
    try:
        merkle.verify_consistency(old.size, new.size, proof, old.root, new.root)
    except ProtocolError as error:
        raise Broken("growth", error.problem) from None
    found.ok("growth", f"it is the log you saw before, then of {seen.size}")


def _gone(seen: int, now: int) -> str:
    return f"you saw {seen} entries, and the server shows {now} and cannot prove more"
