"""The encryption step: each sealed ballot into its KMS envelope."""

from __future__ import annotations

from temporalio import activity

from activities.faults import discreet
from votepyramid.keys.service import ElectionKeys
from votepyramid.votes import service as votes
from workflows import messages as m


class EncryptionSteps:
    """Row ids and nonces are made here and passed on, so recording adds no chance."""

    def __init__(self, keys: ElectionKeys) -> None:
        self._keys = keys

    @activity.defn(name=m.ENCRYPT_BALLOTS)
    @discreet
    def encrypt_ballots(self, group: m.EncryptBallotsInput) -> list[m.EncryptedBallot]:
        return votes.encrypt(self._keys, group.election, group.group_id, group.votes)
