"""`votepyramid codec-server` and `votepyramid operator …`."""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from pathlib import Path
from typing import Any

import click

from votepyramid.elections.console import answer, as_json
from votepyramid.eligibility import token_keys
from votepyramid.eligibility.dev_issuer import DevIssuer
from votepyramid.eligibility.operators import ROLES
from votepyramid.processes import configure_process, leave
from votepyramid.settings import Settings

# A console of a few operators; each call is short.
THREADS = 8
LINK_SECONDS = 600
KEY, PUBLIC = "operator.key.json", "operator.pub.json"


@click.command("codec-server")
@click.option("--listen", default="127.0.0.1:8234", show_default=True)
def codec_server(listen: str) -> None:
    """Open payloads for Temporal's web console, until SIGTERM.

    A process by itself, never beside the public doors: it holds the payload keys and
    answers the browsers of signed-in operators, on the page at VOTEPYRAMID_CODEC_ORIGIN
    alone. It opens, and never seals. Every call is logged.
    """
    settings = Settings.load()
    configure_process(settings, "codec-server")
    warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)
    # Imported late: metrics must know their directory first.
    from votepyramid.web.codec_server.app import make_app
    from votepyramid.web.server import run

    few = dataclasses.replace(settings, threads=THREADS, waiting_bound=THREADS - 1)
    app = make_app(few)
    try:
        run(app, listen=listen)
    except OSError as error:
        click.echo(f"Error: cannot listen: {error.strerror}", err=True)
    leave(1)


@click.group()
def operator() -> None:
    """Who signs operators in at the codec server: a key for it, and, in development
    only, tokens and links."""


@operator.command("keygen")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@as_json
def keygen_command(folder: Path, as_json: bool) -> None:
    """Make the key with which the administrators' pages have payloads opened.

    In FOLDER: operator.key.json is for the process of the pages alone
    (VOTEPYRAMID_OPERATOR_KEY_FILE), operator.pub.json for the codec server
    (VOTEPYRAMID_OPERATOR_JWKS).
    """
    key = token_keys.make()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_new(folder / KEY, token_keys.private_part(key), 0o600)
        _write_new(folder / PUBLIC, token_keys.public_set(key), 0o644)
    except OSError as error:
        raise click.ClickException(
            f"cannot write {error.filename}: {error.strerror}"
        ) from None
    said = f"Made {folder / KEY} and {folder / PUBLIC}."
    answer(as_json, {"key_id": key.kid}, said)


def _write_new(path: Path, document: dict[str, Any], mode: int) -> None:
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    with os.fdopen(handle, "w") as file:
        json.dump(document, file)
        file.write("\n")


_ROLE = click.option(
    "--role", type=click.Choice(ROLES), default="operator", show_default=True
)


@operator.command("token")
@click.argument("name")
@_ROLE
@click.option("--hours", type=click.FloatRange(0.01, 24), default=1.0)
@as_json
def token_command(name: str, role: str, hours: float, as_json: bool) -> None:
    """Development only: a bearer token that signs NAME in."""
    token = _token(name, role, int(hours * 3600))
    answer(as_json, {"token": token}, token)


@operator.command("link")
@click.argument("name", default="operator")
@_ROLE
@click.option("--url", envvar="VOTEPYRAMID_CODEC_URL", required=True)
@as_json
def link_command(name: str, role: str, url: str, as_json: bool) -> None:
    """Development only: a link that signs NAME in once, within ten minutes."""
    link = sign_in_link(url, _token(name, role, LINK_SECONDS))
    answer(as_json, {"link": link}, link)


def sign_in_link(url: str, token: str) -> str:
    """The token stands behind the #, which browsers send to no server."""
    return f"{url}/#{token}"


def _token(name: str, role: str, seconds: int) -> str:
    issuer = DevIssuer.of(Settings.load())
    try:
        return issuer.operator_token(name, [role], seconds)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="NAME") from None
