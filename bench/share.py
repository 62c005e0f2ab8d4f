"""What envelope and receipt cost of a cast: measured on the same machine, after it.

The engine's own code, a ballot of the bench's size each: the envelope around the sealed
ballot, and the receipt from the leaf's bytes to the stored answer. CPU time of one
thread; what a worker spends around them (JSON, the database) is not in it.
"""

from __future__ import annotations

import os
import time
import uuid

from bench.election import ID, PLAINTEXT_LENGTH
from votepyramid.keys.service import DataKey
from votepyramid.protocol.leaf import leaf_bytes, receipt_hash
from votepyramid.protocol.notes import SigningKey
from votepyramid.protocol.receipt import answer_bytes, sign_receipt
from votepyramid.protocol.suites import XWING
from votepyramid.votes.envelope import seal_row

VOTES = 3000


def envelope_and_receipt_ms() -> float:
    """CPU milliseconds a vote."""
    signer = SigningKey.generate("votepyramid.example/bench")
    data_key = DataKey(uuid.uuid4(), os.urandom(32))
    m = os.urandom(32)
    votes = [
        (os.urandom(32), os.urandom(32), os.urandom(PLAINTEXT_LENGTH + XWING.overhead))
        for _ in range(VOTES)
    ]
    began = time.process_time()
    for c, t, ballot in votes:
        leaf = leaf_bytes(c, ID, m, t)
        leaf_hash = bytes.fromhex(receipt_hash(leaf))
        seal_row(data_key, ID, uuid.uuid4(), leaf_hash, ballot)
        answer_bytes(leaf, sign_receipt(signer, signer.name, m, leaf))
    return 1000 * (time.process_time() - began) / VOTES
