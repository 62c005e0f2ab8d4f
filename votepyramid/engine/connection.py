"""The Temporal client of a process, on the one event loop that may touch it.

The SDK's client is asyncio only and tied to its loop, waitress works in threads. So
a web process runs a single loop in a daemon thread, made on first use, which is
after any fork; threads hand coroutines to it and wait.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

import structlog
import uvloop
from temporalio.client import Client, GrpcCompression

from votepyramid.engine.codec import data_converter
from votepyramid.engine.tracing import TracedEngine
from votepyramid.observing import tracing
from votepyramid.processes import leave
from votepyramid.settings import Settings

log = structlog.get_logger(__name__)

T = TypeVar("T")


async def connect(settings: Settings, *, lazy: bool = False, role: str) -> Client:
    """A client with our converter, whose calls are measured. Lazy ones connect at their
    first call.

    Sealed payloads do not compress, so gRPC compression is off.
    """
    # Only now has the process decided where its metrics are kept.
    from votepyramid.engine import measuring

    try:
        return await Client.connect(
            settings.temporal_address,
            namespace=settings.temporal_namespace,
            data_converter=data_converter(settings.require("codec_keys_file")),
            identity=f"votepyramid-{role}-{os.getpid()}",
            grpc_compression=GrpcCompression.NONE,
            lazy=lazy,
            runtime=measuring.runtime(),
            interceptors=[TracedEngine()] if tracing.on() else [],
        )
    except RuntimeError:
        measuring.not_connected()
        raise


def vital(name: str) -> Callable[[Any], None]:
    """A done-callback for what must run as long as the process: its end ends it.

    A web process without its dispatcher or listener looks alive and serves nobody;
    whoever supervises it can only help one that has gone.
    """

    def ended(task: Any) -> None:
        if not task.cancelled():
            error = type(task.exception()).__name__
            log.critical("vital_part_ended", part=name, error=error)
            leave(1)

    return ended


class LoopThread:
    """One asyncio loop in a daemon thread, made on first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = uvloop.new_event_loop()
                threading.Thread(
                    target=self._loop.run_forever, name="engine-loop", daemon=True
                ).start()
            return self._loop

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop from any thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def call(self, coroutine: Coroutine[Any, Any, T], timeout: float) -> T:
        """Run a coroutine and wait. Raises TimeoutError after `timeout` seconds."""
        future = self.submit(coroutine)
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise
