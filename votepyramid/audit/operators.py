"""Who acts, as their events say.

Of a command it is what the operator's environment says, and nothing proves it: whoever
has the owner's database URL can write any name. Of the administrators' pages it is the
person who is signed in.
"""

from __future__ import annotations

import getpass
import os

from sqlalchemy import Connection, Engine

from votepyramid.settings import Settings, is_operator_name

_OPTION = "votepyramid_operator"


def acting(engine: Engine, settings: Settings) -> Engine:
    """The engine for the acts of the operator that the settings name."""
    return acting_as(engine, settings.operator)


def acting_as(engine: Engine, name: str) -> Engine:
    """The engine for the acts of the person of that name."""
    return engine.execution_options(**{_OPTION: name})


def who(connection: Connection) -> str:
    """The name of the connection's operator: as `acting` said, else the login name."""
    return connection.get_execution_options().get(_OPTION) or login_name()


def login_name() -> str:
    """The operating system's name for who runs this process, else "uid NUMBER"."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = ""
    return name if is_operator_name(name) else f"uid {os.getuid()}"
