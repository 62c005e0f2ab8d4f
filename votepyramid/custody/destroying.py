"""Destroying a key-encryption key that wraps nothing any more.

Retired first: from then on the database takes nothing that it wrapped, whichever
process still uses it. Then the place that keeps it destroys it.

A place that does not know the key proves nothing: to the credentials of another
account, or under another mount, a key that lives is not there either. So that counts
as destroyed only where an attempt before may have done it. `asked_at` is that record:
written before the place is asked, and taken back when the place says that it did not.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from votepyramid.audit import service as audit
from votepyramid.custody.models import RetiredKek
from votepyramid.custody.wrapping import by_kek, tell_all
from votepyramid.elections.ceremony import CeremonyError
from votepyramid.keys.names import KekNames
from votepyramid.keys.provider import (
    KekGone,
    KekStore,
    KeyProviderError,
    Unanswered,
)


def check(engine: Engine, names: KekNames, name: str) -> None:
    """Raises CeremonyError for a key that must not be destroyed now."""
    if name == names.current:
        raise CeremonyError(f"{name!r} is the current key: rotate and rewrap first")
    with engine.connect() as connection:
        if name not in names.all and not _begun(connection, name):
            raise CeremonyError(
                f"{name!r} is not among the older keys of the settings: name it there "
                "first, so that no other key is destroyed by mistake"
            )
        _refuse_in_use(by_kek(connection), name)


def destroy(engine: Engine, names: KekNames, store: KekStore, name: str) -> str:
    """Retire and destroy a key; what became of it. Safe to repeat.

    Raises CeremonyError as `check` does, and for one that is not there though nothing
    asked for that; KeyProviderError where it is retired but could not be destroyed.
    """
    check(engine, names, name)
    _retire(engine, name)
    before = _note_asking(engine, name)
    try:
        said = store.destroy(name)
    except Unanswered:
        # It may be done: the same command finds out.
        raise
    except KeyProviderError as error:
        if not before:
            _note_not_done(engine, name)
        if not isinstance(error, KekGone):
            raise
        if not before:
            raise CeremonyError(_not_there(error)) from None
        said = "gone already, as it was asked for before"
    _note_destroyed(engine, name)
    return said


def _not_there(error: KekGone) -> str:
    return (
        f"{error}. It is retired, and not noted as destroyed: it may live where these "
        "settings and credentials do not see it. Repeat this with those of its place; "
        "if it was destroyed by other means, take it out of the settings, and that "
        "place's own log says so"
    )


def _note_asking(engine: Engine, name: str) -> bool:
    """Write that its place is about to be asked; whether that was written before."""
    with engine.begin() as connection:
        first = (
            update(RetiredKek)
            .where(RetiredKek.name == name.encode(), RetiredKek.asked_at.is_(None))
            .values(asked_at=func.now())
        )
        return connection.execute(first).rowcount == 0


def _note_not_done(engine: Engine, name: str) -> None:
    with engine.begin() as connection:
        refused = update(RetiredKek).where(RetiredKek.name == name.encode())
        connection.execute(refused.values(asked_at=None))


def _note_destroyed(engine: Engine, name: str) -> None:
    with engine.begin() as connection:
        mark = (
            update(RetiredKek)
            .where(RetiredKek.name == name.encode(), RetiredKek.destroyed_at.is_(None))
            .values(destroyed_at=func.now())
        )
        if connection.execute(mark).rowcount:
            tell_all(connection, audit.Event("kek_destroyed", detail={"kek": name}))


def _retire(engine: Engine, name: str) -> None:
    with engine.begin() as connection:
        # Whoever is storing a key has stored it when we count, or will be refused.
        connection.execute(text("LOCK TABLE wrapped_keys IN SHARE ROW EXCLUSIVE MODE"))
        _refuse_in_use(by_kek(connection), name)
        retired = connection.scalar(
            insert(RetiredKek)
            .values(name=name.encode())
            .on_conflict_do_nothing()
            .returning(RetiredKek.name)
        )
        if retired is not None:
            tell_all(connection, audit.Event("kek_retired", detail={"kek": name}))


def _begun(connection: Connection, name: str) -> bool:
    """Whether it was retired, and nobody noted that it is destroyed: a key file that
    has lost it names it no longer."""
    begun = select(RetiredKek.name).where(
        RetiredKek.name == name.encode(), RetiredKek.destroyed_at.is_(None)
    )
    return connection.scalar(begun) is not None


def _refuse_in_use(wrapped: dict[str, int], name: str) -> None:
    if count := wrapped.get(name, 0):
        raise CeremonyError(
            f"{count} keys of elections are wrapped under {name!r}: run "
            "`votepyramid keys rewrap` first; without it they are lost for ever"
        )
