"""What the sequencer shows of itself."""

from __future__ import annotations

from prometheus_client import Gauge

_LOG = ["election", "kind"]
WAITING = Gauge(
    "votepyramid_log_waiting_items",
    "Entries that wait for their log",
    _LOG,
    multiprocess_mode="livemostrecent",
)
LAG = Gauge(
    "votepyramid_log_lag_seconds",
    "How long the oldest of them has waited",
    _LOG,
    multiprocess_mode="livemostrecent",
)
SIZE = Gauge(
    "votepyramid_log_size_items",
    "Entries in the newest checkpoint",
    _LOG,
    multiprocess_mode="livemostrecent",
)
PUBLISHED = Gauge(
    "votepyramid_log_published_timestamp_seconds",
    "When the newest checkpoint came out",
    _LOG,
    multiprocess_mode="livemostrecent",
)
