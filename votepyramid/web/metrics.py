"""What /metrics says, over all processes that share the metrics directory.

Each process keeps its values in files of its own. Counters and histograms of one
that is gone still count; its gauges, such as the length of its queue, must not.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import psutil
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

_LIVE_GAUGE = re.compile(r"gauge_live\w+_(\d+)\.db")


def exposition() -> bytes:
    """The Prometheus text of this process, or of all with a shared directory."""
    # The variable that the library itself reads, set from the metrics_dir setting.
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is None:
        return generate_latest(REGISTRY)
    _forget_the_dead(folder)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


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
