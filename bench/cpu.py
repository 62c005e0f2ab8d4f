"""CPU time by part, so that a figure can be explained.

A Postgres backend shows in its title which database it serves: the votes' and
Temporal's are told apart by that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

import psutil

# Name → process ids; "postgres" is the postmaster and stands for its children.
Parts = dict[str, list[int]]
SELF = "load generator"


# Of one moment: a process's part, and the CPU seconds it has used since it started.
Used = dict[int, tuple[str, float]]


def used(parts: Parts) -> Used:
    """User and system time of every process by its id."""
    seconds: Used = {}
    for name, pids in {**parts, SELF: [os.getpid()]}.items():
        for pid in pids:
            for label, process in _processes(name, pid):
                with suppress(psutil.NoSuchProcess):
                    times = process.cpu_times()
                    seconds[process.pid] = (label, times.user + times.system)
    return seconds


def between(before: Used, after: Used) -> dict[str, float]:
    """Seconds by part; what a process used that has ended meanwhile is lost."""
    spent: dict[str, float] = {}
    for pid, (label, seconds) in after.items():
        since = seconds - before.get(pid, (label, 0.0))[1]
        spent[label] = round(spent.get(label, 0.0) + since, 3)
    return spent


def _processes(name: str, pid: int) -> Iterator[tuple[str, psutil.Process]]:
    try:
        process = psutil.Process(pid)
        children = process.children() if name == "postgres" else []
    except psutil.NoSuchProcess:
        return
    yield (name if name != "postgres" else "postgres: other"), process
    for child in children:
        try:
            title = " ".join(child.cmdline())
        except psutil.Error:
            continue
        if " temporal " in title or " temporal_visibility " in title:
            yield "postgres: temporal", child
        elif " votepyramid " in title:
            yield "postgres: votes", child
        else:
            yield "postgres: other", child
