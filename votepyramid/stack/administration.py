"""The first administrator of a development stack."""

from __future__ import annotations

from votepyramid.db import make_engine
from votepyramid.people import setup
from votepyramid.people.errors import SetupRefused


def first_setup_link(owner_url: str, origin: str) -> str | None:
    """A one-time link for the first administrator, None where there is one already.

    A link that was made before ends.
    """
    engine = make_engine(owner_url, pool_size=1)
    try:
        link = setup.first_setup_link(engine)
    except SetupRefused:
        return None
    finally:
        engine.dispose()
    return link.address(origin)
