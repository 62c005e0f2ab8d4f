"""What runs on every core: in a module of its own, which other processes can import."""

from __future__ import annotations

import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor

from votepyramid.protocol.notes import generate

RAW_S = 3.0


def processes() -> ProcessPoolExecutor:
    """One for each core."""
    context = multiprocessing.get_context("forkserver")
    return ProcessPoolExecutor(os.cpu_count(), mp_context=context)


def raw_rate(seconds: float = RAW_S) -> float:
    """Ed25519 verifications a second of all processes together, and nothing else."""
    with processes() as every:
        jobs = [every.submit(_verify_raw, seconds) for _ in range(os.cpu_count() or 1)]
        return sum(job.result() for job in jobs)


def _verify_raw(seconds: float) -> float:
    key = generate("raw.example")
    # Many: the same signature again is verified faster than another one.
    messages = [os.urandom(160) for _ in range(1000)]
    signed = [(message, key.sign(message)) for message in messages]
    verifier = key.verifier
    done, began = 0, time.monotonic()
    while time.monotonic() - began < seconds:
        for message, signature in signed:
            verifier.verify(message, signature)
        done += len(signed)
    return done / (time.monotonic() - began)
