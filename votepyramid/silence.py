"""A Postgres that is there and says nothing: connections that end when it is silent.

A frozen process or a disk that hangs leaves a kernel that acknowledges everything:
neither Postgres's own timeouts nor TCP's end the wait for it. psycopg looks up ten
times a second while it waits, and here it is counted how long nothing has come. Every
wait of a connection that is made goes this way: statements, fetches, commit, rollback
and what the pool does; `connect_timeout` ends those of one that is being made. No other
thread shuts a socket down, whose number may be another file's by then.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen


class PostgresSilent(psycopg.OperationalError):
    """Nothing came for as long as it is waited for: what was asked for, a commit too,
    may have been done, or may yet be."""


class Impatient(psycopg.Connection[Any]):
    """A connection that ends once Postgres was silent for `patience` seconds."""

    patience: float

    def wait(self, gen: PQGen[RV], *how: Any, **named: Any) -> RV:
        """As everywhere in psycopg. Raises PostgresSilent."""
        try:
            return super().wait(_heard(gen, self.patience), *how, **named)
        except PostgresSilent:
            # So that the pool throws it away, and nobody tries to roll back on it.
            self.close()
            raise


def connecting(patience: float, first: float) -> Callable[..., Impatient]:
    """What SQLAlchemy calls to connect (event `do_connect`).

    A connection is made when it has answered, within `first` seconds. SQLAlchemy asks
    the first one of an engine what it is, and has all others wait meanwhile: they would
    find out one after the other that Postgres lets in and then says nothing.
    """

    def connect(
        _dialect: Any, _record: Any, arguments: list[Any], named: dict[str, Any]
    ) -> Impatient:
        made = Impatient.connect(*arguments, **named)
        try:
            made.patience = first
            made.autocommit = True
            made.execute("SELECT 1")
            made.autocommit = False
            made.patience = patience
        except psycopg.Error:
            made.close()
            raise
        return made

    return connect


def _heard(gen: PQGen[RV], patience: float) -> PQGen[RV]:
    """The same steps, while something comes or goes at least that often.

    Not a limit on the whole: a long answer that keeps coming is none of silence.
    """
    heard = monotonic()
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready:
                heard = monotonic()
            elif monotonic() - heard > patience:
                raise PostgresSilent(f"silent for {patience:g} s")
            wanted = gen.send(ready)
    except StopIteration as end:
        value: RV = end.value
        return value
