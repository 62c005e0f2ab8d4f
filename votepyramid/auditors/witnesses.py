"""Who cosigned the checkpoints of an export: a quorum of the policy of witnesses.

The policy is the auditor's own, or the one in force that the export has: then the
engine itself says whom to believe.
"""

from __future__ import annotations

from votepyramid.auditors.case import Case, Discrepancy
from votepyramid.auditors.folder import POLICY
from votepyramid.auditors.trees import AUDIT_LOG, RECEIPT_LOG
from votepyramid.protocol.cosignature import cosigners
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.policy import MAX_POLICY_BYTES, NONE, Policy

CHECK = "witnesses"


def check_witnesses(case: Case) -> None:
    """A quorum cosigned the checkpoint of each log that has one."""
    own = case.kept.policy
    policy = own if own is not None else _exported(case)
    if policy is None or policy.quorum == NONE:
        case.held(CHECK, 0, "none are asked for: bring a --policy", unchecked=True)
        return
    whose = "your policy" if own is not None else "the policy in force"
    names = [n for n in (RECEIPT_LOG, AUDIT_LOG) if case.reading.has(f"{n}/checkpoint")]
    cosigned = sum(_cosigned(case, name, policy, whose) for name in names)
    asked = "" if own is not None else ", as the export says: bring a --policy"
    found = f"a quorum of {whose} cosigned {len(names)} checkpoints{asked}"
    case.held(CHECK, cosigned, found, unchecked=own is None or not names)


def _cosigned(case: Case, name: str, policy: Policy, whose: str) -> int:
    """How many of the policy's witnesses cosigned a log's checkpoint."""
    note = case.reading.read(f"{name}/checkpoint").decode("utf-8", "replace")
    try:
        signed = cosigners(note, *(witness.key for witness in policy.witnesses))
    except ProtocolError as error:
        raise Discrepancy(CHECK, f"{name}: {error.problem}") from None
    if not policy.satisfied_by(signed):
        raise Discrepancy(
            CHECK,
            f"{name}: {len(signed)} of the witnesses of {whose} cosigned its "
            "checkpoint, and that is no quorum",
        )
    return len(signed)


def _exported(case: Case) -> Policy | None:
    if not case.reading.has(POLICY):
        return None
    try:
        return Policy.parse(case.reading.read(POLICY, MAX_POLICY_BYTES))
    except ProtocolError as error:
        raise Discrepancy(CHECK, f"{POLICY}: {error.problem}") from None
