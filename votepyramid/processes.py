"""How a process of ours begins and ends: logs, metrics directory, exit."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import NoReturn

import structlog
from structlog.typing import EventDict

from votepyramid.settings import Settings


class _Lines:
    """Writes a line to standard error at once, with one system call.

    structlog's own loggers take a lock that all threads wait for while one of them
    writes. Whole lines up to 4 KiB on a pipe; ours are far shorter. A log that refuses
    a line is no reason to withhold an answer.
    """

    def msg(self, line: str) -> None:
        with contextlib.suppress(OSError):
            os.write(2, f"{line}\n".encode())

    debug = info = warning = error = critical = msg


def configure_process(settings: Settings, role: str) -> None:
    """Structured logs to stderr, one JSON object a line; metrics shared on disk.

    Must run before anything imports prometheus_client, which decides at import
    whether values are shared between processes.
    """
    if settings.metrics_dir:
        Path(settings.metrics_dir).mkdir(parents=True, exist_ok=True)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = settings.metrics_dir

    if sys.stderr is None:
        # It was closed: no other file may get its number, and the log lines.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    def identify(_logger: object, _name: str, event: EventDict) -> EventDict:
        return {**event, "process": role, "pid": os.getpid()}

    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(message)s", force=True
    )
    # The SDK logs failed activities with their arguments' types and tracebacks;
    # ours carry no data, but warnings are enough.
    logging.getLogger("temporalio").setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            identify,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=lambda *_: _Lines(),
        cache_logger_on_first_use=True,
    )


def leave(code: int) -> NoReturn:
    """Flush and go without interpreter teardown.

    The Temporal SDK's native threads crash or hang now and then when the
    interpreter is torn down under them; nothing of ours needs the teardown.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    logging.shutdown()
    os._exit(code)
