"""What the sequencer shows of itself."""

from __future__ import annotations

from collections.abc import Container, Mapping

from prometheus_client import Counter, Gauge, Histogram

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
STOPPED = Gauge(
    "votepyramid_log_stopped",
    "1 for a log that was set aside: forked, set back, damaged or not kept",
    _LOG,
    multiprocess_mode="livemostrecent",
)
KEYLESS = Gauge(
    "votepyramid_log_keyless",
    "1 for a log that entries wait for and that has no key",
    _LOG,
    multiprocess_mode="livemostrecent",
)
WITNESSES = Gauge(
    "votepyramid_log_witnesses_items",
    "Witnesses that cosigned the newest checkpoint they were asked for",
    _LOG,
    multiprocess_mode="livemostrecent",
)
UNWITNESSED = Gauge(
    "votepyramid_log_unwitnessed_seconds",
    "How long a checkpoint has waited for its quorum of witnesses",
    _LOG,
    multiprocess_mode="livemostrecent",
)
WITNESS_FAILURES = Counter(
    "votepyramid_log_witness_failures",
    "Requests to a witness that gave no cosignature",
    ["witness", "problem"],
)
SEQUENCING = Gauge(
    "votepyramid_log_sequencing",
    "1 in the process that has the turn to sequence, 0 in one that waits for it",
    multiprocess_mode="livesum",
)
BATCH_SECONDS = Histogram(
    "votepyramid_log_batch_seconds",
    "Appending one batch, and signing and keeping its checkpoint",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)


def show_waiting(found: Mapping[tuple[str, str], tuple[int, float]]) -> None:
    """Entries and seconds by election and kind; a log that is not named waits for none.

    What this process once showed would be shown for ever.
    """
    for gauge in (WAITING, LAG):
        _zero(gauge, but=found)
    for names, (items, seconds) in found.items():
        WAITING.labels(*names).set(items)
        LAG.labels(*names).set(seconds)


def turn_over() -> None:
    """Another process has the next turn, and says how the logs stand."""
    SEQUENCING.set(0)
    for gauge in (WAITING, LAG, STOPPED, KEYLESS, UNWITNESSED):
        _zero(gauge)


def _zero(gauge: Gauge, but: Container[tuple[str, str]] = ()) -> None:
    for sample in next(iter(gauge.collect())).samples:
        names = sample.labels["election"], sample.labels["kind"]
        if names not in but:
            gauge.labels(*names).set(0)
