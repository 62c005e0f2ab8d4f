"""`votepyramid verify-absence` and `verify-none-issued`: offline, by whoever doubts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from votepyramid.client import statements
from votepyramid.client.ballots import PinnedElection
from votepyramid.client.commands import (
    AUTHORITY_OPTION,
    JSON_OPTION,
    MANIFEST_HASH_OPTION,
    fail,
    signed_manifest,
)
from votepyramid.client.errors import ClientError
from votepyramid.client.statements import Finding

_PATH = click.Path(dir_okay=False, path_type=Path)
_MANIFEST = click.option(
    "--manifest",
    type=_PATH,
    required=True,
    help="The signed manifest as published.",
)


@click.command()
@click.argument("proof", type=_PATH)
@click.option(
    "--closing",
    type=_PATH,
    required=True,
    help="The closing statement, as at /api/elections/ID/statement/closing.",
)
@click.option("--tag", help="The tag as 64 hex digits.")
@click.option("--token-file", type=_PATH, help="A file with your token in it, instead.")
@_MANIFEST
@AUTHORITY_OPTION
@MANIFEST_HASH_OPTION
@JSON_OPTION
def verify_absence(
    proof: Path,
    closing: Path,
    tag: str | None,
    token_file: Path | None,
    as_json: bool,
    **pinned: Any,
) -> None:
    """Check a PROOF that no vote stands under a token's tag.

    PROOF is what /api/elections/ID/absence/TAG answered. Exits with 1 when a check
    fails, naming it. docs/absence.md says what it proves and what it does not.
    """

    def check(election: PinnedElection) -> Finding:
        wanted = statements.tag_of(election, tag, token_file)
        return statements.check_absence(election, closing, proof, wanted)

    _tell(check, as_json, **pinned)


@click.command()
@click.argument("answer", type=_PATH)
@click.option("--voter", required=True, help="The voter's id at the sign-in.")
@_MANIFEST
@AUTHORITY_OPTION
@MANIFEST_HASH_OPTION
@JSON_OPTION
def verify_none_issued(answer: Path, voter: str, as_json: bool, **pinned: Any) -> None:
    """Check a statement that no token was issued to a voter.

    ANSWER is what /api/elections/ID/tokens/none-issued/ answered: the statement and
    its nonce. Exits with 1 when a check fails, naming it.
    """

    def check(election: PinnedElection) -> Finding:
        return statements.check_none_issued(election, answer, voter)

    _tell(check, as_json, **pinned)


def _tell(
    check: Callable[[PinnedElection], Finding],
    as_json: bool,
    *,
    manifest: Path,
    authority: str | None,
    manifest_hash: str | None,
) -> None:
    try:
        signed = signed_manifest(manifest)
        finding = check(statements.pinned(signed, authority, manifest_hash))
    except ClientError as error:
        fail(error, as_json)
    if as_json:
        click.echo(json.dumps({"status": "valid", **finding.details}))
        return
    for line in finding.checks:
        click.echo(f"ok      {line}")
    click.echo(finding.said)
