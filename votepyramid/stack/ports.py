"""Free ports on loopback."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from votepyramid.stack.caches import users_cache

LOOPBACK = "127.0.0.1"
# Below what Linux, macOS and Windows take for outgoing connections: a port that is free
# when asked stays free until its server has started.
_UNPRIVILEGED = range(10_000, 32_768)
_TRIES = 100


def is_free(port: int) -> bool:
    """True when nothing listens on `port` and we may listen there."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # A port in TIME_WAIT from our own last run is free for a listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port(preferred: int | None = None) -> int:
    """`preferred` when it is free, else any free port.

    It is this process's from then on, to other processes that ask here: of two that
    start at the same moment neither takes the other's server for its own.

    Raises:
        OSError: a hundred ports, chosen at random, were all taken.
    """
    tried = [] if preferred is None else [preferred]
    tried += random.sample(_UNPRIVILEGED, _TRIES)
    with _noted() as noted:
        for port in tried:
            if is_free(port) and noted.get(str(port), os.getpid()) == os.getpid():
                noted[str(port)] = os.getpid()
                return port
    raise OSError(errno.EADDRINUSE, "no free port was found")


@contextmanager
def _noted() -> Iterator[dict[str, int]]:
    """The ports that processes which still run have taken, each with its process.

    What is changed is kept. In the cache, not among temporary files: who starts a stack
    with a folder of its own for those finds it empty again.
    """
    users_cache().mkdir(parents=True, exist_ok=True)
    with open(users_cache() / "ports.json", "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        try:
            every = json.load(file)
        except ValueError:
            # Empty, or cut off by a full disk: then nobody is known to have a port.
            every = {}
        noted = {port: pid for port, pid in every.items() if psutil.pid_exists(pid)}
        yield noted
        file.truncate(0)
        json.dump(noted, file)


def answers(port: int) -> bool:
    """True when something accepts a connection on `port`."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((LOOPBACK, port)) == 0
