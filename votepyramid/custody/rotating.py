"""Rotating: a new key where the keys are kept, which takes part in no transaction.

So it is announced, made and noted, and no key is ever made here whose name the audit
trail does not have. When the place does not answer, only the place knows whether it is
made: asked again, it finds it by the name. A key file has it as the current key at
once; of a KMS, settings say which is.
"""

from __future__ import annotations

import threading

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from votepyramid.audit import service as audit
from votepyramid.custody.models import RetiredKek
from votepyramid.custody.wrapping import tell_all
from votepyramid.elections.ceremony import CeremonyError
from votepyramid.keys.provider import KekStore, KeyProviderError, Unanswered


def rotate(engine: Engine, store: KekStore, name: str, *, file: bool) -> str:
    """Make a key-encryption key of that name; how the settings name it.

    `file` when the store is a key file. Safe to repeat: what was made and noted nowhere
    is found, and a name that is taken is refused. Raises KeyProviderError and what the
    database raises, both with nothing made, but Unanswered where that is not known;
    CeremonyError for a name that was destroyed, and when the key is made and only the
    last event could not be written.
    """
    _refuse_retired(engine, name)
    announcing = _Announcing(engine, name)
    try:
        made = store.make(name, announcing.announce)
    except Unanswered as error:
        if not announcing.give_up():
            raise
        raise Unanswered(
            f"{error}: whether the key is made is not known, and the audit trail has "
            f"that {name!r} was announced. Repeat this with the same name: what was "
            "made is found, and no other is made"
        ) from None
    event = (
        audit.Event("kek_rotated", detail={"kek": made})
        if file
        else audit.Event("kek_made", detail={"kek": made, "name": name})
    )
    try:
        _tell(engine, event)
    except SQLAlchemyError:
        raise CeremonyError(
            f"the key {made} is made, and the database could not note it: the audit "
            "trail has that it was announced. Do not rotate again; go on with this key"
        ) from None
    return made


class _Announcing:
    """The event before a key is made, which a call that was given up writes no more."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._event = audit.Event("kek_announced", detail={"kek": name})
        self._lock = threading.Lock()
        self._begun = False
        self._given_up = False

    def announce(self) -> None:
        with self._lock:
            if self._given_up:
                raise KeyProviderError("this was given up before a key was made")
            self._begun = True
        _tell(self._engine, self._event)

    def give_up(self) -> bool:
        """Whether a key may be made all the same."""
        with self._lock:
            self._given_up = True
            return self._begun


def _tell(engine: Engine, event: audit.Event) -> None:
    with engine.begin() as connection:
        tell_all(connection, event)


def _refuse_retired(engine: Engine, name: str) -> None:
    retired = select(RetiredKek.name).where(RetiredKek.name == name.encode())
    with engine.connect() as connection:
        if connection.scalar(retired) is not None:
            raise CeremonyError(
                f"a key {name!r} was destroyed before, and the database takes nothing "
                "that is wrapped under that name: take another"
            )
