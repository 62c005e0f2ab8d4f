"""What an activity's failure may say: the class of the fault, never its data.

A driver's message quotes values and a traceback of ours ends up in histories and
logs. So an activity fails with the kind of error and its SQLSTATE, or with what we say
of a KMS, of Temporal or of a folder ourselves, and nothing else; the cause stays behind
in this process.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from sqlalchemy.exc import DBAPIError
from temporalio.exceptions import ApplicationError

from votepyramid.auditors.folder import FolderError
from votepyramid.engine.control import TemporalAway
from votepyramid.keys.provider import KeyProviderError

P = ParamSpec("P")
R = TypeVar("R")


class Stopped(Exception):
    """The worker was told to stop, and the step with it: another one does it again."""


# Whose sentences are ours: they name keys, addresses and files of an operator's.
_OURS = {KeyProviderError: "kms", TemporalAway: "temporal", FolderError: "folder"}


def described(error: BaseException) -> str:
    """An error in words without any value from the database or the caller."""
    if isinstance(error, DBAPIError):
        cause = error.orig
        state = getattr(cause, "sqlstate", None) or "no SQLSTATE"
        return f"database: {type(cause).__name__} ({state})"
    for kind, part in _OURS.items():
        if isinstance(error, kind):
            return f"{part}: {error}"
    if isinstance(error, Stopped):
        return "stopped: the worker"
    return f"engine: {type(error).__name__}"


def discreet(step: Callable[P, R]) -> Callable[P, R]:
    """Run a step; its failure is an ApplicationError that can be retried."""

    @functools.wraps(step)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return step(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is described
            message = described(error)
            kind = message.split(":", 1)[0]
            failure = ApplicationError(message, type=kind)
        # Raised outside the handler, so that no cause is chained to it.
        raise failure

    return run
