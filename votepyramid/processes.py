"""How a process of ours begins and ends: logs, metrics directory, exit."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import structlog
from structlog.typing import EventDict, Processor

from votepyramid.observing import correlation, tracing
from votepyramid.settings import Settings, SettingsError, address


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


class _OfLibraries(logging.Handler):
    """A library's line in our form. Of an error its kind and place alone: what it says
    may be a secret."""

    def emit(self, record: logging.LogRecord) -> None:
        more: dict[str, str] = {}
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            more = {"error": type(error).__name__, "place": place(error)}
        structlog.get_logger().log(
            record.levelno,
            "library",
            logger=record.name,
            said=record.getMessage(),
            **more,
        )


def place(error: BaseException) -> str:
    """File and line where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    file = trace.tb_frame.f_code.co_filename.rsplit("/", 1)[-1]
    return f"{file}:{trace.tb_lineno}"


_PROCESSORS: list[Processor] = [
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.JSONRenderer(),
]


def log_to_stderr() -> None:
    """A command's log lines for a person: what it prints may be read by a program."""
    structlog.configure(logger_factory=lambda *_: _Lines())


def log_to_file(file: Path) -> None:
    """A command's log lines as those of processes, for one that shows its progress."""
    structlog.configure(
        processors=_PROCESSORS,
        logger_factory=structlog.WriteLoggerFactory(file.open("a", buffering=1)),
    )


def configure_process(settings: Settings, role: str) -> None:
    """Structured logs to stderr, one JSON object a line; metrics shared on disk.

    The process and its children leave no core files, which would hold its keys. A
    program that the kernel pipes cores to gets them all the same.

    Must run before anything imports prometheus_client, which decides at import
    whether values are shared between processes.

    Raises SettingsError when it cannot listen where `metrics_listen` says, or lacks
    the libraries that `traces_url` needs.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if settings.metrics_dir:
        Path(settings.metrics_dir).mkdir(parents=True, exist_ok=True)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = settings.metrics_dir

    if sys.stderr is None:
        # It was closed: no other file may get its number, and the log lines.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    def identify(_logger: object, _name: str, event: EventDict) -> EventDict:
        return {**event, "process": role, "pid": os.getpid()}

    logging.basicConfig(level=logging.INFO, handlers=[_OfLibraries()], force=True)
    # The SDK logs failed activities with their names and ids; warnings are enough.
    logging.getLogger("temporalio").setLevel(logging.WARNING)
    # Says every request in a line of its own; its plugins, each.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    structlog.configure(
        processors=[identify, correlation.add, *_PROCESSORS],
        logger_factory=lambda *_: _Lines(),
        cache_logger_on_first_use=True,
    )
    _show_metrics(settings, role)
    if settings.traces_url:
        flush = tracing.begin(settings.traces_url, role, settings.traces_ratio)
        before_leaving(flush)


def _show_metrics(settings: Settings, role: str) -> None:
    # Imported late: see configure_process.
    from votepyramid.observing.exposition import PROCESSES, listen

    PROCESSES.labels(role).set(1)
    if not settings.metrics_listen or role == "web":
        # Web processes have a route for it.
        return
    try:
        listen(*address("metrics_listen", settings.metrics_listen))
    except OSError as error:
        raise SettingsError(
            f"cannot listen on metrics_listen {settings.metrics_listen}: "
            f"{error.strerror}; each process of a host needs a port of its own, or "
            "one metrics_dir for all"
        ) from None


_LAST_ACTS: list[tuple[Callable[[], None], bool]] = []


def before_leaving(act: Callable[[], None], *, well: bool = False) -> None:
    """Have `act` done when the process leaves in its own time; it must be short.

    With `well` only when nothing has gone wrong.
    """
    _LAST_ACTS.append((act, well))


def leave(code: int) -> NoReturn:
    """Do the last acts, flush, and go without interpreter teardown.

    The Temporal SDK's native threads crash or hang now and then when the
    interpreter is torn down under them; nothing of ours needs the teardown.
    """
    for act, well in _LAST_ACTS:
        with contextlib.suppress(Exception):
            if code == 0 or not well:
                act()
    sys.stdout.flush()
    sys.stderr.flush()
    logging.shutdown()
    os._exit(code)
