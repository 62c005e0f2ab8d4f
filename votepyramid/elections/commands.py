"""`votepyramid election …`: the ceremony, step by step, for an operator."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from votepyramid.elections import (
    ceremony,
    finishing,
    keygen,
    manifest,
    service,
    unlinking,
)
from votepyramid.elections.closing_commands import close_command
from votepyramid.elections.console import (
    answer,
    as_json,
    owner_engine,
    owner_keys,
    read_json_file,
    refusing,
    write_new_file,
)
from votepyramid.protocol import manifest as protocol
from votepyramid.protocol.encoding import strict_json
from votepyramid.protocol.identifiers import manifest_hash
from votepyramid.protocol.suites import SUITES, XWING
from votepyramid.settings import Settings

PASSPHRASE_VARIABLE = "VOTEPYRAMID_PASSPHRASE"
MAX_FILE = protocol.MAX_SIGNED_MANIFEST_BYTES
_PATH = click.Path(path_type=Path, dir_okay=False)

passphrase_file = click.option(
    "--passphrase-file",
    type=_PATH,
    help=f"First line is the passphrase; else ${PASSPHRASE_VARIABLE}, else asked for.",
)


@click.group()
def election() -> None:
    """Make, open, close and show elections.

    In this order: keygen, prepare, sign, create, (roster import), open, close,
    (settle, where workflows were terminated), unlink. `finish` is for elections that
    were closed by hand.
    """


@election.command("keygen")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--suite", type=click.Choice(list(SUITES)), default=XWING.id)
@click.option(
    "--authority", default="authority", help="Name the authority signs under."
)
@passphrase_file
@as_json
@refusing
def keygen_command(
    folder: Path,
    suite: str,
    authority: str,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Make the trustees' and the authority's keys in FOLDER, sealed.

    FOLDER must be the trustees' own, never the engine's: with trustees.key and its
    passphrase every ballot can be read.
    """
    passphrase = _passphrase(passphrase_file, confirm=True)
    public = keygen.generate(
        folder, passphrase, suite=suite, authority=authority, engine_state=_state()
    )
    text = (
        f"Made {folder / keygen.TRUSTEES} and {folder / keygen.AUTHORITY}, sealed "
        f"under the passphrase.\nKey id     {public.key_id}\n"
        f"Authority  {public.authority}"
    )
    answer(as_json, vars(public), text)


@election.command("prepare")
@click.argument("draft", type=_PATH)
@click.option("-o", "--output", type=_PATH, required=True, help="Manifest to sign.")
@click.option("--trustees", type=_PATH, help="trustees.pub.json, to fill in the key.")
@as_json
@refusing
def prepare_command(
    draft: Path, output: Path, trustees: Path | None, as_json: bool
) -> None:
    """Check DRAFT, make the engine's keys for it and write the manifest to sign."""
    document: Any = read_json_file(draft, MAX_FILE, strict_json)
    if trustees is not None and isinstance(document, dict):
        document = {**document, **keygen.read_public(trustees)}
    settings = Settings.load()
    if not isinstance(document, dict):
        raise ceremony.CeremonyError(f"{draft} is not a JSON object")
    with owner_engine(settings) as engine, owner_keys(settings, engine) as keys:
        made = ceremony.prepare(engine, keys, document)
    text = json.dumps(made, indent=2, ensure_ascii=False)
    write_new_file(output, f"{text}\n".encode())
    digest = manifest_hash(made).hex()
    shown = {"election": made["id"], "manifest_hash": digest, "file": str(output)}
    answer(as_json, shown, f"Wrote {output}.\nManifest hash  {digest}")


@election.command("sign")
@click.argument("manifest_file", metavar="MANIFEST", type=_PATH)
@click.option("--key", type=_PATH, required=True, help="The authority.key.")
@click.option("-o", "--output", type=_PATH, required=True, help="Signed manifest.")
@passphrase_file
@as_json
@refusing
def sign_command(
    manifest_file: Path,
    key: Path,
    output: Path,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Sign MANIFEST as the election authority. Needs no engine and no network."""
    document = read_json_file(manifest_file, MAX_FILE, strict_json)
    manifest.require(document)
    signer = keygen.read_authority(key, _passphrase(passphrase_file))
    signed = protocol.sign_manifest(document, signer)
    write_new_file(output, protocol.dump_signed(signed) + b"\n")
    digest = manifest_hash(document).hex()
    shown = {
        "election": document["id"],
        "manifest_hash": digest,
        "authority": signer.verifier.text(),
        "file": str(output),
    }
    answer(as_json, shown, f"Wrote {output}.\nManifest hash  {digest}")


@election.command("create")
@click.argument("signed", type=_PATH)
@click.option("--authority", required=True, help="Verifier key text of the authority.")
@as_json
@refusing
def create_command(signed: Path, authority: str, as_json: bool) -> None:
    """Take a SIGNED manifest into the engine."""
    document = read_json_file(signed, MAX_FILE, strict_json)
    with owner_engine() as engine:
        view = ceremony.create(engine, document, authority.strip())
    answer(
        as_json,
        service.describe(view),
        f"Created election {view.id}. Import its roster, then open it.",
    )


@election.command("open")
@click.argument("election_id")
@as_json
@refusing
def open_command(election_id: str, as_json: bool) -> None:
    """Let the election take claims and ballots from its opening time on."""
    with owner_engine() as engine:
        view = ceremony.open_election(engine, election_id)
    answer(
        as_json,
        service.describe(view),
        f"Election {view.id} is open from {view.opens_at} to {view.closes_at}.",
    )


election.add_command(close_command)


@election.command("show")
@click.argument("election_id")
@as_json
@refusing
def show_command(election_id: str, as_json: bool) -> None:
    """Where the election stands, with its counts."""
    with owner_engine() as engine, engine.connect() as connection:
        shown = ceremony.show(connection, election_id)
    width = max(map(len, shown))
    text = "\n".join(f"{name:<{width}}  {value}" for name, value in shown.items())
    answer(as_json, shown, text)


@election.command("settle")
@click.argument("election_id")
@as_json
@refusing
def settle_command(election_id: str, as_json: bool) -> None:
    """Note which votes answered with 202 no workflow holds any more.

    After a workflow was terminated, or a web process was killed. Such a vote is as
    if never sent: its token is unused and its bytes can be sent again.
    """
    from votepyramid.votes.settling import settle

    settings = Settings.load()
    with owner_engine(settings) as engine:
        done = settle(engine, settings, election_id)
    answer(
        as_json,
        {"id": election_id, **asdict(done)},
        f"{len(done.ended)} votes were settled as never sent, "
        f"{len(done.running)} are still under way."
        + (f" {len(done.lately)} more can be settled in 15 s." if done.lately else ""),
    )


@election.command("finish")
@click.argument("election_id")
@as_json
@refusing
def finish_command(election_id: str, as_json: bool) -> None:
    """Sign the closing statement, once every vote is in the published log.

    After the grace time. Refuses while anything is missing, and says what. Then
    nothing more is issued or recorded. Done again, it prints the same statement.
    """
    settings = Settings.load()
    with (
        owner_engine(settings) as engine,
        owner_keys(settings, engine) as keys,
        _bar(quiet=as_json) as progress,
    ):
        done = finishing.finish(engine, keys, election_id, progress=progress)
    shown = {**service.describe(done.election), "statement": done.note}
    answer(as_json, shown, done.note.rstrip())


@election.command("unlink")
@click.argument("election_id")
@click.option(
    "--dispute-days",
    type=click.FloatRange(0, 3650),
    default=unlinking.DISPUTE_DAYS,
    show_default=True,
    help="How long after `finish` disputes are heard.",
)
@click.option(
    "--without-export",
    is_flag=True,
    help="Though no whole export was made since `finish`. For elections that nobody is "
    "to audit, or whose histories are lost: afterwards nobody can check any more that "
    "every vote and token came through a workflow.",
)
@click.option("--yes", is_flag=True, help="Do not ask; it cannot be undone.")
@as_json
@refusing
def unlink_command(
    election_id: str,
    dispute_days: float,
    without_export: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove for ever what links voters to ballots, and destroy the issuance key.

    Archived workflow histories go with it: export for auditors before, and wait until
    they have verified.
    """
    if not yes:
        question = "It cannot be undone. Type the election's id to go on"
        if click.prompt(question, err=True) != election_id:
            raise ceremony.CeremonyError("not the election's id: nothing was done")
    with owner_engine() as engine:
        done = unlinking.unlink(
            engine,
            election_id,
            dispute_days=dispute_days,
            without_export=without_export,
        )
    shown = {"id": election_id, "status": "unlinked"}
    answer(
        as_json,
        {**shown, "tokens": done.tokens, "votes": done.votes},
        f"Unlinked {done.tokens} tokens and {done.votes} ballots of {election_id}.",
    )


@contextmanager
def _bar(*, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on standard error, by entries of the log."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    with Progress(console=console) as bar:
        task = bar.add_task("Reading the log", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _passphrase(file: Path | None, *, confirm: bool = False) -> str:
    """From the file, the environment, or the terminal without echo."""
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            raise keygen.KeyFileError(f"cannot read {file}") from None
        given = lines[0] if lines else ""
    else:
        given = os.environ.get(PASSPHRASE_VARIABLE, "")
        if not given:
            asked = click.prompt(
                "Passphrase", hide_input=True, confirmation_prompt=confirm, err=True
            )
            given = str(asked)
    if not given:
        raise keygen.KeyFileError("the passphrase is empty")
    return given


def _state() -> Path:
    from votepyramid.stack.layout import VAR

    return VAR
