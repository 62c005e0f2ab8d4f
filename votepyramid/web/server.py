"""The web process: waitress, made to drain on SIGTERM.

waitress closes its listening socket and keeps its threads; what it lacks is waiting
for the requests inside and telling the gateway. The order here: stop accepting,
answer what is inside, flush, leave.
"""

from __future__ import annotations

import signal
import socket
import threading
import time
from typing import Any, Protocol

import structlog
import waitress.server
from pyramid.router import Router
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.task import ErrorTask

from votepyramid.observing import correlation
from votepyramid.processes import leave
from votepyramid.settings import Settings
from votepyramid.web.problems import server_refusal
from votepyramid.web.tweens import dress

log = structlog.get_logger(__name__)

# waitress refuses bodies over this by itself; ours are refused far earlier.
MAX_BODY = 1024 * 1024
# Room for a sign-in token of the largest size we take, and a proxy's own headers.
MAX_HEADERS = 32 * 1024
# Answers up to this are sent by the loop; receipts and problems are far smaller.
SEND_BYTES = 16 * 1024
# Of a reader who takes nothing; else it would hold its thread for ever.
STALLED_MS = 60_000


class Served(Protocol):
    """What an application brings along in its registry under "services"."""

    @property
    def settings(self) -> Settings: ...

    def start(self) -> None:
        """After fork, before the first request."""

    def drain(self, deadline: float) -> None:
        """Answer what is inside, until the monotonic clock `deadline`."""


class _Refusal(ErrorTask):
    """What waitress refuses by itself looks like every other refusal."""

    def execute(self) -> None:
        limits = {413: MAX_BODY, 431: MAX_HEADERS}
        response = server_refusal(self.request.error.code, limits)
        dress(response, correlation.new())
        self.status = response.status
        self.response_headers = list(response.headerlist)
        self.set_close_on_finish()
        self.content_length = response.content_length
        self.write(response.body)


class _Channel(HTTPChannel):
    """A connection whose answers are sent by waitress's loop, each in one piece.

    By itself waitress sends from the answering thread, head and body apart, and while
    that thread waits for the interpreter lock in the middle of it the loop, finding
    something to send and nothing it may, turns round and round over all connections.
    """

    error_task_class = _Refusal

    def writable(self) -> bool:
        # Until the answer is complete; what is larger than SEND_BYTES the thread
        # sends itself, and from the high watermark on it waits for the loop.
        if self.requests and self.total_outbufs_len < self.adj.outbuf_high_watermark:
            return bool(self.will_close or self.close_when_flushed)
        return bool(super().writable())

    def service(self) -> None:
        super().service()
        if self.requests:
            # Sent together with this one: its answer does not wait for theirs.
            self._flush_exception(self._flush_some, do_close=False)

    def _flush_some(self, do_close: bool = True) -> bool:
        # The loop flushes without the lock when no request is inside. By then waitress
        # has usually sent everything; here a thread may be about to flush as well.
        with self.outbuf_lock:
            return bool(super()._flush_some(do_close))


def run(
    app: Router,
    _global_conf: dict[str, str] | None = None,
    *,
    listen: str = "127.0.0.1:6543",
    fd: int | None = None,
    ahead: int = 0,
    **_options: Any,
) -> None:
    """Serve until SIGTERM or SIGINT. A Paste server runner; never returns.

    `listen` is host:port, of one address; with `fd` an inherited listening socket is
    used instead. With `ahead` there are large answers: no more than so many bytes are
    made ahead of their reader, in memory alone, and a reader who takes nothing for a
    minute is gone. Raises OSError when it cannot be had.
    """
    services: Served = app.registry["services"]
    settings = services.settings
    # Our own single socket: for a name with two addresses waitress would make two
    # servers, and draining has to know them.
    listener = _listening(listen) if fd is None else socket.socket(fileno=fd)
    server = waitress.server.create_server(
        app,
        threads=settings.threads,
        max_request_body_size=MAX_BODY,
        max_request_header_size=MAX_HEADERS,
        connection_limit=settings.threads * 8,
        channel_timeout=30,
        cleanup_interval=10,
        ident=None,
        expose_tracebacks=False,
        clear_untrusted_proxy_headers=True,
        # With select() a process ends at its 1024th file.
        asyncore_use_poll=True,
        sockets=[listener],
    )
    server.channel_class = _Channel
    # As an option it is deprecated: then every answer would be sent at once again.
    server.adj.send_bytes = SEND_BYTES
    if ahead:
        _send_large_answers(server.adj, ahead)
    services.start()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(
        target=_serve, args=(server, stop), name="waitress", daemon=True
    ).start()
    log.info("web_serving", roles=sorted(settings.roles))
    stop.wait()
    log.info("web_draining")
    _drain(server, services, settings.drain_timeout)
    log.info("web_stopped")
    leave(0)


def _send_large_answers(adj: Any, ahead: int) -> None:
    adj.outbuf_high_watermark = ahead
    # From here on waitress would keep what waits in a file.
    adj.outbuf_overflow = 2 * ahead
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        stalled = (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MS)
        adj.socket_options = [*adj.socket_options, stalled]


def _listening(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server(
        (host.strip("[]"), int(port)), family=family, backlog=1024
    )


def _serve(server: Any, stop: threading.Event) -> None:
    """waitress's loop; when it ends by itself the process must not stay."""
    try:
        server.run()
    finally:
        stop.set()


def _drain(server: Any, services: Served, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    # Only the listener, and on waitress's own loop: open connections stay and are
    # still answered, a new request on one of them with 503.
    server.trigger.pull_trigger(lambda: wasyncore.dispatcher.close(server))
    services.drain(deadline)
    while time.monotonic() < deadline and _has_work(server):
        time.sleep(0.05)
    # A last moment for the bytes of the last answers to leave.
    time.sleep(0.2)


def _has_work(server: Any) -> bool:
    dispatcher = server.task_dispatcher
    return bool(
        dispatcher.queue
        or dispatcher.active_count
        or any(one.total_outbufs_len for one in [*server.active_channels.values()])
    )
