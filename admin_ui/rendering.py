"""What every page has in common: templates and their filters, headers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import structlog
from pyramid.config import Configurator
from pyramid.events import BeforeRender, NewResponse
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from admin_ui.permissions import Permission, allows
from admin_ui.picture import running
from admin_ui.policy import (
    RECENT_S,
)
from votepyramid.db import is_fault
from votepyramid.engine.control import TemporalAway, TemporalRefuses
from votepyramid.keys.provider import KeyProviderError
from votepyramid.people import authenticators, sessions

STATIC = Path(__file__).parent / "static"
log = structlog.get_logger(__name__)

CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Place:
    """A link of the navigation, for those who may go there; with `setting`, only where
    that is set."""

    title: str
    route: str
    permission: Permission
    setting: str = ""


NAVIGATION = (
    Place("Now", "now", Permission.READ),
    Place("Work", "work", Permission.READ),
    Place("Orders", "orders", Permission.READ),
    Place("Elections", "elections", Permission.READ),
    Place("Audit", "audit", Permission.AUDIT),
    Place("People", "people", Permission.AUDIT),
    Place("Runbook", "runbook", Permission.READ),
    Place("Temporal console", "console", Permission.CONSOLE, "codec_origin"),
)
# There also while Postgres hangs, so that who reads them must not be asked of it.
UNASKED = frozenset({"runbook", "manual", "manual.entry", "static", "health.live"})
# What everybody may who has any role: where these lead to from there.
_ANYBODY = ("viewer",)


def _identity(request: Any) -> Any:
    """Who is signed in; nobody while Postgres cannot be asked."""
    try:
        return getattr(request, "identity", None)
    except (DBAPIError, PoolTimeout) as error:
        if isinstance(error, DBAPIError) and not is_fault(error):
            raise
        return None


def _globals(event: Any) -> None:
    request = event["request"]
    route = getattr(request.matched_route, "name", "")
    # A page that says that Postgres is away need not ask it again.
    away = getattr(request, "postgres_away", False)
    person = None if away or route in UNASKED else _identity(request)
    # Who has not shown their key yet is told of no page but that.
    roles = person.roles if person and not authenticators.due(person) else ()
    roles = _ANYBODY if route in UNASKED else roles
    event["person"] = person
    event["may"] = lambda permission: allows(roles, permission)
    event["places"] = [
        one
        for one in NAVIGATION
        if allows(roles, one.permission)
        and (not one.setting or getattr(request.services.settings, one.setting))
    ]
    event["here"] = route.split(".")[0]
    event["key_missing"] = person is not None and authenticators.missing(person)
    event["recent"] = person is not None and sessions.recent(person, RECENT_S)
    event["production"] = request.services.settings.production


@cache
def asset(name: str) -> str:
    """The address of a file of `static/`, with a piece of its hash."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()
    return f"/static/{name}?{digest[:12]}"


def when(moment: datetime) -> str:
    """A time for people: UTC to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def clock(moment: datetime) -> str:
    """A time beside others of the same day, to the millisecond: UTC."""
    return f"{moment.astimezone(UTC):%H:%M:%S.%f}"[:-3]


def number(value: int) -> str:
    """With a narrow space between groups of three digits."""
    return f"{value:,}".replace(",", "\u202f")


def size(value: int) -> str:
    """Bytes, in the unit that leaves one to three digits before the point."""
    short, units = float(value), ["bytes", "kB", "MB", "GB", "TB"]
    while short >= 1000 and len(units) > 1:
        short, units = short / 1000, units[1:]
    shown = f"{short:.1f}" if units[0] != "bytes" else f"{value}"
    return f"{shown}\u202f{units[0]}"


def seconds(value: float) -> str:
    """A duration in the largest two units that it has."""
    whole = int(value)
    for size, unit, small_size, small in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // small_size
            return f"{whole // size} {unit}" + (f" {rest} {small}" if rest else "")
    return f"{value:.1f} s" if value < 10 else f"{whole} s"


def left(moment: datetime) -> str:
    """How long it is until then, by this machine's clock; the database's counts."""
    rest = (moment - datetime.now(UTC)).total_seconds()
    return f"in {seconds(rest)}" if rest > 0 else "now"


def sentence(text: str) -> str:
    """An error's message as a sentence of its own."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def why(error: Exception) -> str:
    """Why something that is kept could not be found out (see kept.py)."""
    if isinstance(error, TemporalRefuses):
        return "Temporal answers, but not this: it is asked too much, or refuses"
    if isinstance(error, TemporalAway):
        return "Temporal does not answer"
    if isinstance(error, KeyProviderError):
        return "the payload keys of this process (codec_keys_file) do not open it"
    if isinstance(error, (DBAPIError, PoolTimeout)):
        return "Postgres does not answer in time"
    return "this program has a fault: its log has a line answer_failed"


def words(name: str) -> str:
    """A name of the program's, such as record_votes, as people write it."""
    return name.replace("_", " ")


def narrowed(asked: dict[str, str | None], after: str | None = None) -> dict[str, str]:
    """The query of another page of the same list."""
    query = {name: value for name, value in asked.items() if value and name != "after"}
    return {**query, "after": after} if after else query


def _headers(event: NewResponse) -> None:
    if event.response.content_type == "text/html":
        event.response.headers["Content-Security-Policy"] = CSP
        event.response.headers["Cache-Control"] = "no-store"
        # Without a referrer browsers hide the origin of a form, too (Fetch, 3.1).
        event.response.headers["Referrer-Policy"] = "same-origin"


def add_rendering(config: Configurator) -> None:
    """Templates, their filters, headers, and pages for what goes wrong."""
    config.include("pyramid_jinja2")
    config.add_jinja2_search_path("admin_ui:templates", name=".jinja2")
    shown = (when, clock, number, size, seconds, left, sentence, why, words)
    filters = {one.__name__: one for one in shown}
    config.commit()
    environment = config.get_jinja2_environment(name=".jinja2")
    environment.filters.update(filters)
    environment.globals.update(asset=asset, running=running, narrowed=narrowed)
    environment.trim_blocks = environment.lstrip_blocks = True
    config.add_subscriber(_globals, BeforeRender)
    config.add_subscriber(_headers, NewResponse)
