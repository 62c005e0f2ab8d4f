"""What the engine counts. Labels are kinds of work, never elections' contents."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

QUEUED = Gauge(
    "votepyramid_gateway_queue_items",
    "Votes or claims waiting for a group to start",
    ["line"],
    multiprocess_mode="livesum",
)
GROUPS = Gauge(
    "votepyramid_gateway_groups_running",
    "Groups started and not yet answered",
    ["line"],
    multiprocess_mode="livesum",
)
GROUP_SIZE = Histogram(
    "votepyramid_gateway_group_items",
    "Votes or claims a group",
    ["line"],
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
GROUP_SECONDS = Histogram(
    "votepyramid_gateway_group_seconds",
    "From taking a group off the queue to its last answer",
    ["line"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
START_RETRIES = Counter(
    "votepyramid_gateway_start_retries_total",
    "Workflow starts that were tried again",
    ["line"],
)
SHED = Counter(
    "votepyramid_gateway_shed_total",
    "Requests refused because the queue was full or groups were stuck",
    ["line"],
)
