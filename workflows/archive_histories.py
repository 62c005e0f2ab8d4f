"""ArchiveHistories: what Temporal will forget, kept for the auditors.

Started by a schedule.
"""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from workflows import messages as m

# It tells that it is alive with every few histories.
HEARTBEAT_TIMEOUT = timedelta(seconds=60)
ATTEMPT_TIMEOUT = timedelta(hours=6)
RETRIES = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    backoff_coefficient=2,
    maximum_interval=timedelta(minutes=5),
    maximum_attempts=0,
)


@workflow.defn(name=m.ARCHIVE_HISTORIES)
class ArchiveHistories:
    """One run over all elections, tried again until it succeeds."""

    @workflow.run
    async def run(self) -> m.Archived:
        archived: m.Archived = await workflow.execute_activity(
            m.ARCHIVE_CLOSED,
            result_type=m.Archived,
            start_to_close_timeout=ATTEMPT_TIMEOUT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RETRIES,
        )
        return archived
