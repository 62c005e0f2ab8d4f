"""`votepyramid vote` and `votepyramid verify`: what a voter runs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from votepyramid.client import checks, publiclog, voting
from votepyramid.client.errors import BallotFileError, ClientError, Refused
from votepyramid.client.logserver import CannotCheck
from votepyramid.client.messages import Pause, check_base_url
from votepyramid.client.policy import RetryPolicy
from votepyramid.client.sdk import DEFAULT_TIMEOUT
from votepyramid.client.transport import Transport
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.manifest import MAX_SIGNED_MANIFEST_BYTES, load_signed

JWT_VARIABLE = "VOTEPYRAMID_JWT"
_PATH = click.Path(dir_okay=False, path_type=Path)
# The voter's side imports nothing of the engine, so it has this option of its own.
JSON_OPTION = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object."
)
AUTHORITY_OPTION = click.option(
    "--authority",
    envvar="VOTEPYRAMID_AUTHORITY",
    help="The election authority's key, as published.",
)
MANIFEST_HASH_OPTION = click.option(
    "--manifest-hash", help="The manifest's hash, as published."
)
_ALLOW_HTTP = click.option(
    "--allow-http", is_flag=True, help="Accept plain http:// to another machine."
)


@click.command()
@click.option("--url", envvar="VOTEPYRAMID_URL", help="The voting server's address.")
@click.option("--election", envvar="VOTEPYRAMID_ELECTION", help="The election's id.")
@AUTHORITY_OPTION
@MANIFEST_HASH_OPTION
@click.option(
    "--jwt-file",
    type=click.File("r"),
    help=f"Your sign-in token; otherwise taken from {JWT_VARIABLE}.",
)
@click.option("--style", help="A ballot style, where you may have several.")
@click.option(
    "--choices",
    type=click.File("rb"),
    help='JSON such as {"mayor": ["c2"]}, or - for standard input. '
    "Asked for when left out.",
)
@click.option(
    "--out",
    type=_PATH,
    default=Path("receipt.json"),
    show_default=True,
    help="Where your sealed ballot and then your receipt is kept.",
)
@click.option(
    "--patience",
    type=click.FloatRange(1, 86400),
    default=120.0,
    show_default=True,
    help="Seconds to go on trying.",
)
@_ALLOW_HTTP
@JSON_OPTION
def vote(
    jwt_file: Any, choices: Any, out: Path, patience: float, as_json: bool, **asked: Any
) -> None:
    """Cast a ballot and keep its receipt.

    The sealed ballot is saved before it is sent. After a crash or a lost connection
    run the same command again: it sends the same bytes, and the ballot counts once.
    """

    def on_wait(pause: Pause) -> None:
        click.echo(f"{pause.reason}; again in {pause.seconds:.1f} s", err=True)

    session = voting.Session(
        out=out,
        jwt=lambda: _jwt(jwt_file),
        choices=None if choices is None else choices.read,
        policy=RetryPolicy(deadline=patience),
        say=lambda text: click.echo(text, err=True),
        prompt=_prompt,
        confirm=lambda text: click.confirm(text, err=True),
        on_wait=on_wait,
        **asked,
    )
    try:
        receipt = session.run()
    except ClientError as error:
        fail(error, as_json)
    if as_json:
        told = {"status": "accepted", "receipt_hash": receipt.receipt_hash}
        click.echo(json.dumps({**told, "file": str(out)}))
        return
    click.echo(f"Your ballot is recorded. Receipt {receipt.receipt_hash}")
    click.echo(f"Keep {out}: with it, `votepyramid verify {out}` proves this anywhere.")


@click.command()
@click.argument("receipt", type=_PATH)
@click.option(
    "--manifest",
    "manifest_file",
    type=_PATH,
    help="The signed manifest as published; otherwise the one saved with the receipt.",
)
@AUTHORITY_OPTION
@MANIFEST_HASH_OPTION
@click.option(
    "--online", is_flag=True, help="Look into the public log of the server as well."
)
@click.option("--url", help="Another address of it than the one you voted at.")
@_ALLOW_HTTP
@click.option(
    "--proof", type=_PATH, help="Check this saved .tlog-proof, without any server."
)
@click.option(
    "--policy", type=_PATH, help="Whose cosignatures you ask for: a C2SP tlog-policy."
)
@click.option(
    "--patience",
    type=click.FloatRange(1, 86400),
    default=20.0,
    show_default=True,
    help="Seconds to go on asking.",
)
@JSON_OPTION
def verify(
    receipt: Path,
    manifest_file: Path | None,
    authority: str | None,
    manifest_hash: str | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Check a receipt, and say what was checked; offline, unless asked otherwise.

    With --online also that the ballot is in the public log, and that it is the log
    that was seen the last time, and the final one once that is signed; proof,
    checkpoint and closing statement are kept beside the receipt.

    Exits with 0 when all holds. Otherwise the failed check is named: 1 the receipt, or
    a file; 3 the promise is broken, or no proof that the ballot is in the log; 4 the
    log was forked; 5 it was set back; 6 not signed by the log; 7 too few witnesses; 8
    the server could not be asked; 9 not yet in the log; 10 for so long that it is late.
    """
    try:
        signed = None if manifest_file is None else signed_manifest(manifest_file)
        report = checks.check_receipt(
            receipt, signed, authority_vkey=authority, pinned_hash=manifest_hash
        )
        report = _check_log(report, receipt, **asked)
    except CannotCheck as error:
        fail(error, as_json, checks.CANNOT_CHECK)
    except ClientError as error:
        fail(error, as_json)
    if as_json:
        click.echo(json.dumps(report.to_json()))
    else:
        for line in report.lines():
            click.echo(line)
    sys.exit(report.status)


def _check_log(
    report: checks.Report,
    receipt: Path,
    *,
    online: bool,
    url: str | None,
    allow_http: bool,
    proof: Path | None,
    policy: Path | None,
    patience: float,
) -> checks.Report:
    """The report with what the public log says, as far as that was asked for."""
    rules = None if policy is None else publiclog.read_policy(policy)
    if proof is not None:
        report = publiclog.check_proof(report, proof, rules)
    if not (online or url) or report.failed is not None:
        return report
    address = check_base_url(url or report.server, allow_http=allow_http)
    server = Transport(address, DEFAULT_TIMEOUT)
    try:
        return publiclog.check_online(report, receipt, server, rules, patience)
    finally:
        server.close()


def _jwt(file: Any) -> str:
    text = str(file.read()) if file is not None else os.environ.get(JWT_VARIABLE, "")
    if not text.strip():
        raise ClientError(
            "no sign-in token",
            f"Give it with --jwt-file FILE or in {JWT_VARIABLE}.",
        )
    return text


def _prompt(text: str, highest: int) -> int:
    kind = click.IntRange(0, highest)
    number: int = click.prompt(text, type=kind, default=0, show_default=False, err=True)
    return number


def signed_manifest(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return load_signed(file.read(MAX_SIGNED_MANIFEST_BYTES + 1))
    except OSError as error:
        raise BallotFileError(f"cannot read {path}: {error.strerror}") from None
    except ProtocolError as error:
        raise BallotFileError(
            f"{path} is not a signed manifest: {error.problem}",
            "Give the file that the election office published.",
        ) from None


def fail(error: ClientError, as_json: bool, status: int = 1) -> Any:
    if as_json:
        told: dict[str, Any] = {
            "status": "error",
            "error": type(error).__name__,
            "problem": error.problem,
            "advice": error.advice,
        }
        if isinstance(error, Refused):
            told |= {"code": error.code, "reason": error.reason}
        click.echo(json.dumps(told))
    else:
        click.echo(f"Error: {error.problem}", err=True)
        if error.advice:
            click.echo(error.advice, err=True)
    sys.exit(status)
