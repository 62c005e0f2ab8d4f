"""What a scrape gets, over all processes that share the metrics directory.

Each process keeps its values in files of its own. Counters and histograms of one
that is gone still count; its gauges, such as the length of its queue, must not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil
from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Gauge,
    generate_latest,
    start_http_server,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

PROCESSES = Gauge(
    "votepyramid_processes_running",
    "Processes that run, by what they are",
    ["process"],
    multiprocess_mode="livesum",
)
_LIVE_GAUGE = re.compile(r"gauge_live\w+_(\d+)\.db")


def exposition() -> bytes:
    """The Prometheus text of this process, or of all with a shared directory."""
    return generate_latest(registry())


def listen(host: str, port: int) -> None:
    """Serve it at /metrics on a daemon thread. Raises OSError when it cannot listen."""
    start_http_server(port, host, registry())


def registry() -> CollectorRegistry:
    """Of this process, or of all that share its metrics directory."""
    # The variable that the library itself reads, set from the metrics_dir setting.
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is None:
        return REGISTRY
    shared = CollectorRegistry()
    shared.register(_Shared(folder))
    return shared


class _Shared(Collector):
    """The values of all processes, as of each scrape."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._read = MultiProcessCollector(None, folder)  # type: ignore[no-untyped-call]

    def collect(self) -> Iterable[Metric]:
        _forget_the_dead(self._folder)
        found: Iterable[Metric] = self._read.collect()  # type: ignore[no-untyped-call]
        return found


def _forget_the_dead(folder: str) -> None:
    """Remove the gauges of processes of this host that were killed."""
    pids = {
        int(found[1])
        for path in Path(folder).iterdir()
        if (found := _LIVE_GAUGE.fullmatch(path.name))
    }
    for pid in pids:
        if not psutil.pid_exists(pid):
            # Another process that is scraped now may be as quick.
            with suppress(FileNotFoundError):
                mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
