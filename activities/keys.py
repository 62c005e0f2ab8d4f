"""The rewrapping step: a batch of wrapped keys under the current key-encryption key."""

from __future__ import annotations

import uuid

from sqlalchemy import Engine
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.faults import discreet
from votepyramid.custody.rewrapping import Rewrapping
from votepyramid.keys.provider import KeyProvider
from workflows import messages as m


class KeySteps:
    """Of a worker with the keeper's database role. `current` is what it wraps under."""

    def __init__(self, engine: Engine, provider: KeyProvider, current: str) -> None:
        self._engine = engine
        self._provider = provider
        self._current = current

    @activity.defn(name=m.REWRAP_BATCH)
    def rewrap_batch(self, asked: m.RewrapBatchInput) -> m.RewrapBatch:
        if asked.target != self._current:
            # Started before the rotation, or with other settings.
            raise ApplicationError(
                f"a worker wraps under {self._current!r}, not under {asked.target!r}",
                type=m.OTHER_KEK,
                non_retryable=True,
            )
        return self._batch(asked)

    @discreet
    def _batch(self, asked: m.RewrapBatchInput) -> m.RewrapBatch:
        rewrapping = Rewrapping(
            self._engine,
            self._provider,
            asked.target,
            everything=asked.everything,
            beat=activity.heartbeat,
        )
        after = uuid.UUID(asked.after) if asked.after is not None else None
        batch = rewrapping.batch(after, asked.size)
        return m.RewrapBatch(
            rewrapped=batch.rewrapped,
            failed=[str(one) for one in batch.failed],
            after=str(batch.after) if batch.after is not None else None,
            left=batch.left,
        )
