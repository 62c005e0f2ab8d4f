"""Who let somebody in of late, and so could be them.

Who invites somebody sees the link, and who takes a key away may know the passphrase:
for a time the two do not count as two people. Each voucher is kept with when it was
last, as two accounts could else hide a third one behind each other.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from votepyramid.audit.operators import who
from votepyramid.people.models import Person, PersonVoucher


def vouch(connection: Connection, person: uuid.UUID) -> None:
    """Whoever acts lets the person in, in the caller's transaction."""
    own = select(Person.id).where(Person.name == who(connection))
    if connection.scalar(own) == person:
        return
    connection.execute(
        insert(PersonVoucher)
        .values(person=person, voucher=who(connection))
        .on_conflict_do_update(
            index_elements=[PersonVoucher.person, PersonVoucher.voucher],
            set_={"vouched_at": func.clock_timestamp()},
        )
    )


def came_in(connection: Connection, person: uuid.UUID, lifetime: timedelta) -> None:
    """A link was used: the time begins anew for whoever can have made it.

    Links are good for `lifetime`.
    """
    connection.execute(
        update(PersonVoucher)
        .where(
            PersonVoucher.person == person,
            PersonVoucher.vouched_at > func.clock_timestamp() - lifetime,
        )
        .values(vouched_at=func.clock_timestamp())
    )


def behind_both(
    connection: Connection, one: str, other: str, within: timedelta
) -> list[str]:
    """Names of those who can be both, as they let them in within that time, in order.

    Each counts for themselves, and for whoever was let in by whom they let in. Only who
    is one of the people counts: who has the owner's database URL needs nobody.
    """
    if not within:
        return []
    first, second = (
        set(connection.scalars(_behind(name, within))) for name in (one, other)
    )
    return sorted(first & second)


def _behind(name: str, within: timedelta) -> Any:
    reached = select(literal(name).label("name")).cte("reached", recursive=True)
    reached = reached.union(
        select(PersonVoucher.voucher)
        .join(Person, Person.id == PersonVoucher.person)
        .join(reached, reached.c.name == Person.name)
        .where(PersonVoucher.vouched_at > func.clock_timestamp() - within)
    )
    return select(Person.name).join(reached, reached.c.name == Person.name)
