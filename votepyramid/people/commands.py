"""`votepyramid people …`: who runs elections, for whoever has the owner's database URL.

Secrets are asked for, never arguments: those stand in lists of processes and in the
shell's history.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from votepyramid.elections.console import answer, as_json, owner_engine, refusing
from votepyramid.people import authenticators, identities, service, sessions, setup
from votepyramid.people.errors import PeopleError, SessionEnded
from votepyramid.people.names import checked_name
from votepyramid.people.service import ROLES, Somebody
from votepyramid.settings import Settings

_ROLE = click.Choice(ROLES)


@click.group()
def people() -> None:
    """Invite and disable those who run elections.

    Roles: a viewer sees, an operator works, an administrator decides who may what as
    well, an auditor reads everything and changes nothing.
    """


@people.command("list")
@as_json
@refusing
def list_command(as_json: bool) -> None:
    """Show everybody, their roles, and who is locked out or disabled."""
    with owner_engine() as engine:
        found = service.everybody(engine)
    answer(
        as_json,
        {"people": [_document(one) for one in found]},
        "\n".join(map(_line, found))
        or "Nobody yet: `votepyramid people setup-link` makes a link for the first.",
    )


def _document(one: Somebody) -> dict[str, Any]:
    return {
        "name": one.name,
        "roles": list(one.roles),
        "set_up": one.set_up,
        "passphrase": one.passphrase,
        "issuers": list(one.issuers),
        "disabled": one.disabled,
        "failed_attempts": one.failed_count,
        "locked_until": one.locked_until and one.locked_until.isoformat(),
        "created_at": one.created_at.isoformat(),
    }


def _line(one: Somebody) -> str:
    said = [", ".join(one.roles)]
    if not one.set_up:
        said.append("not set up yet")
    if one.issuers:
        said.append(f"known at {', '.join(one.issuers)}")
    if one.disabled:
        said.append("disabled")
    if one.locked_until:
        said.append(f"locked out until {one.locked_until:%Y-%m-%d %H:%M:%S} UTC")
    return f"{one.name:24}  {'; '.join(said)}"


@people.command("setup-link")
@as_json
@refusing
def setup_link_command(as_json: bool) -> None:
    """Make the first administrator's one-time link, shown once and good for an hour.

    Only while nobody can administer; a new link ends the older one.
    """
    settings = Settings.load()
    with owner_engine(settings) as engine:
        link = setup.first_setup_link(engine)
    _show(link, settings, as_json)


@people.command("invite")
@click.argument("name")
@click.option("--role", "roles", type=_ROLE, multiple=True, help="May be repeated.")
@click.option(
    "--again", is_flag=True, help="A new link: the old one or the passphrase was lost."
)
@as_json
@refusing
def invite_command(
    name: str, roles: tuple[str, ...], again: bool, as_json: bool
) -> None:
    """Make a one-time set-up link for NAME, shown once and good for three days.

    Hand it over by a way that you trust: who has it becomes NAME. It is opened in a
    browser, or used with `votepyramid people accept`.

    \b
    Examples:
      votepyramid people invite ada --role operator --role auditor
      votepyramid people invite ada --again
    """
    if again == bool(roles):
        raise click.UsageError("Give --role or --again.")
    settings = Settings.load()
    with owner_engine(settings) as engine:
        if again:
            link = setup.invite_again(engine, name)
        else:
            link = setup.invite(engine, name, roles)
    _show(link, settings, as_json)


def _show(link: setup.Link, settings: Settings, as_json: bool) -> None:
    """As an address where there is one to open it at."""
    origin, until = settings.admin_origin.rstrip("/"), link.expires_at
    shown = link.address(origin) if origin else link.secret
    answer(
        as_json,
        {"link": shown, "expires_at": until.isoformat()},
        f"{shown}\nGood once, until {until:%Y-%m-%d %H:%M} UTC.",
    )


@people.command("accept")
@as_json
@refusing
def accept_command(as_json: bool) -> None:
    """Set up with a link: choose a passphrase, the first administrator also a name.

    Asks for the link, the name where it is the first administrator's, and the
    passphrase twice; on standard input where there is no terminal, a line each. The
    passphrase has 12 characters or more.
    """
    with owner_engine() as engine:
        code = _asked("Link", as_json, hide=True).rpartition("#")[2]
        name = setup.for_whom(engine, code)
        if name is None:
            name = checked_name(_asked("Name", as_json))
        password = _asked("Passphrase", as_json, hide=True)
        if password != _asked("The same again", as_json, hide=True):
            raise PeopleError("the two passphrases differ: begin again")
        setup.accept(engine, code, name, password)
    answer(as_json, {"name": name}, f"{name} is set up.")


def _asked(question: str, as_json: bool, *, hide: bool = False) -> str:
    """An answer of at most a line; a program's is read without a prompt."""
    if sys.stdin.isatty():
        said: str = click.prompt(question, hide_input=hide, err=as_json)
        return said
    return sys.stdin.readline(4096).rstrip("\r\n")


@people.command("roles")
@click.argument("name")
@click.argument("roles", type=_ROLE, nargs=-1, required=True)
@as_json
@refusing
def roles_command(name: str, roles: tuple[str, ...], as_json: bool) -> None:
    """Give NAME these ROLES and no others."""
    with owner_engine() as engine:
        given = service.set_roles(engine, name, roles)
    said = f"{name} is now {', '.join(given)}."
    answer(as_json, {"name": name, "roles": list(given)}, said)


@people.command("disable")
@click.argument("name")
@as_json
@refusing
def disable_command(name: str, as_json: bool) -> None:
    """Keep NAME out, and end their sessions. Refused for the last administrator."""
    with owner_engine() as engine:
        ended = service.disable(engine, name)
    said = f"{name} is disabled; {ended} sessions ended."
    answer(as_json, {"name": name, "sessions_ended": ended}, said)


@people.command("enable")
@click.argument("name")
@as_json
@refusing
def enable_command(name: str, as_json: bool) -> None:
    """Let NAME in again, as they signed in before and with the roles of before."""
    with owner_engine() as engine:
        service.enable(engine, name)
    answer(as_json, {"name": name}, f"{name} may sign in again.")


@people.command("unlock")
@click.argument("name")
@as_json
@refusing
def unlock_command(name: str, as_json: bool) -> None:
    """Let NAME try again at once after failed attempts."""
    with owner_engine() as engine:
        service.unlock(engine, name)
    answer(as_json, {"name": name}, f"{name} is not locked out any more.")


@people.command("authenticators")
@click.argument("name")
@as_json
@refusing
def authenticators_command(name: str, as_json: bool) -> None:
    """Show NAME's security keys, the oldest first."""
    with owner_engine() as engine:
        found = authenticators.listed(engine, name)
    shown = [
        {
            "name": one.name,
            "created_at": one.created_at.isoformat(),
            "last_used_at": one.last_used_at and one.last_used_at.isoformat(),
        }
        for one in found
    ]
    lines = [f"{one.name}  since {one.created_at:%Y-%m-%d}" for one in found]
    answer(as_json, {"authenticators": shown}, "\n".join(lines) or "None.")


@people.command("remove-authenticator")
@click.argument("name")
@click.argument("authenticator")
@as_json
@refusing
def remove_authenticator_command(name: str, authenticator: str, as_json: bool) -> None:
    """Take NAME's security key AUTHENTICATOR away: it was lost or stolen.

    Their sessions end. Without any key signing in alone lets them in.
    """
    with owner_engine() as engine:
        ended = authenticators.remove_for(engine, name, authenticator)
    said = f"{name} has {authenticator} no more; {ended} sessions ended."
    answer(as_json, {"name": name, "sessions_ended": ended}, said)


@people.command("identities")
@click.argument("name")
@as_json
@refusing
def identities_command(name: str, as_json: bool) -> None:
    """Show who NAME is at identity providers, the oldest binding first."""
    with owner_engine() as engine:
        found = identities.listed(engine, name)
    shown = [
        {
            "issuer": one.issuer,
            "subject": one.subject,
            "created_at": one.created_at.isoformat(),
            "last_used_at": one.last_used_at and one.last_used_at.isoformat(),
        }
        for one in found
    ]
    lines = [
        f"{one.issuer}  {one.subject}  since {one.created_at:%Y-%m-%d}" for one in found
    ]
    answer(as_json, {"identities": shown}, "\n".join(lines) or "None.")


@people.command("remove-identity")
@click.argument("name")
@click.argument("issuer")
@as_json
@refusing
def remove_identity_command(name: str, issuer: str, as_json: bool) -> None:
    """Let NAME sign in at the identity provider ISSUER no more.

    Their sessions end. Without a passphrase they have no way in but a new set-up link.
    """
    with owner_engine() as engine:
        ended = identities.remove_for(engine, name, issuer)
    said = f"{name} is bound to {issuer} no more; {ended} sessions ended."
    answer(as_json, {"name": name, "sessions_ended": ended}, said)


@people.command("sessions")
@click.argument("name")
@as_json
@refusing
def sessions_command(name: str, as_json: bool) -> None:
    """Show NAME's sessions that have not ended, the last seen first."""
    with owner_engine() as engine:
        found = sessions.listed(engine, name)
    shown = [
        {
            "id": one.id.hex(),
            "created_at": one.created_at.isoformat(),
            "seen_at": one.seen_at.isoformat(),
            "expires_at": one.expires_at.isoformat(),
        }
        for one in found
    ]
    lines = [
        f"{one.id.hex()}  seen {one.seen_at:%Y-%m-%d %H:%M:%S} UTC" for one in found
    ]
    answer(as_json, {"sessions": shown}, "\n".join(lines) or "None.")


@people.command("revoke")
@click.argument("name")
@click.option("--session", help="Only this one, by its id in `people sessions`.")
@as_json
@refusing
def revoke_command(name: str, session: str | None, as_json: bool) -> None:
    """End the sessions of NAME."""
    with owner_engine() as engine:
        if session is None:
            ended = sessions.revoke_all(engine, name)
        else:
            sessions.revoke(engine, name, _id(session))
            ended = 1
    said = f"{ended} sessions of {name} ended."
    answer(as_json, {"name": name, "sessions_ended": ended}, said)


def _id(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise SessionEnded from None
