"""`votepyramid log`: the sequencer, and where the logs stand."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from sqlalchemy import Engine, func, select

from votepyramid.db import make_engine
from votepyramid.elections.ceremony import CeremonyError
from votepyramid.elections.console import answer, as_json, owner_engine, refusing
from votepyramid.keys import providers
from votepyramid.keys.provider import KeyProviderError
from votepyramid.keys.service import AUDIT_LOG, RECEIPT_LOG, ElectionKeys
from votepyramid.logs.models import LogHead, LogQueue
from votepyramid.logs.store import AUDIT, RECEIPTS, Log
from votepyramid.processes import before_leaving, configure_process, leave
from votepyramid.protocol.checkpoint import MAX_CHECKPOINT_BYTES
from votepyramid.settings import Settings
from votepyramid.vitals.reporting import Reporter

if TYPE_CHECKING:
    from votepyramid.logs.cosigning import Cosigning


@click.group("log")
def log() -> None:
    """The public log of receipts, and the log of audit events.

    Every accepted vote and every event waits for its log; the sequencer appends them
    in batches and signs checkpoints. Where they stand is also at
    /api/elections/ID/log/checkpoint and /api/elections/ID/audit-log/checkpoint.
    """


@log.command("sequence")
@click.option("--once", is_flag=True, help="Append all that waits, and end.")
def sequence(once: bool) -> None:
    """Run a sequencer until SIGTERM. A second one waits until the first has gone.

    It needs its own database role (VOTEPYRAMID_DATABASE_URL), the key-encryption key,
    and a folder outside the database for the newest checkpoints
    (VOTEPYRAMID_CHECKPOINT_FOLDER), on another disk and in no backup that is restored
    with the database.

    A log that cannot be continued is set aside with an alarm, and the others go on. So
    is one that is public and not in the folder: `log adopt` is the way out.

    Told to stop, it ends with 3 while there is such a log: see docs/runbook.md.
    """
    settings = Settings.load()
    configure_process(settings, "sequencer")
    # Imported late: metrics must know their directory first.
    from votepyramid.audit.entries import entries as events
    from votepyramid.logs.keeping import Keeping, KeepingError
    from votepyramid.logs.sequencer import QuorumMissed, Sequencer, Source
    from votepyramid.logs.turn import LogBusy
    from votepyramid.receipts.entries import entries as leaves

    engine = _engine(settings.require("database_url"))
    keys = ElectionKeys(
        providers.make(settings), engine, settings.data_key_rows, settings.key_hold
    )
    before_leaving(keys.close)
    keeping = Keeping(Path(settings.require("checkpoint_folder")))
    sources = {RECEIPTS: Source(RECEIPT_LOG, leaves), AUDIT: Source(AUDIT_LOG, events)}
    cosigning = _cosigning(settings, engine)
    sequencer = Sequencer(engine, keys, keeping, sources, settings, cosigning)
    if not once:
        Reporter(
            engine, "sequencer", lambda: sequencer.vitals() | {"keys": keys.state()}
        ).start()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        if once:
            sequencer.once()
        else:
            sequencer.run(stop)
    except (LogBusy, QuorumMissed, KeepingError, KeyProviderError) as error:
        click.echo(f"Error: {error}", err=True)
        _leave(sequencer.stopped, 1)
    _leave(sequencer.stopped, 0)


def _leave(stopped: Mapping[Log, str], otherwise: int) -> None:
    for reason in stopped.values():
        click.echo(f"ALARM: {reason}", err=True)
    leave(3 if stopped else otherwise)


def _cosigning(settings: Settings, engine: Engine) -> Cosigning | None:
    from votepyramid.logs.cosigning import Cosigning, read_policy
    from votepyramid.logs.sequencer import prover

    if not settings.witness_policy:
        return None
    policy = read_policy(Path(settings.witness_policy))
    return Cosigning(policy, prover(engine), settings.witness_timeout)


@log.command("status")
@as_json
@refusing
def status(as_json: bool) -> None:
    """Each log's size, its newest checkpoint's, and how many entries wait.

    As the sequencer's role, or the owner's where its URL is set. With
    VOTEPYRAMID_CHECKPOINT_FOLDER, also which logs the sequencer set aside, why.
    """
    settings = Settings.load()
    url = settings.owner_database_url or settings.require("database_url")
    found = _standing(_engine(url))
    if settings.checkpoint_folder:
        _add_stopped(found, Path(settings.checkpoint_folder))
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for one in found:
        click.echo(
            f"{one['election']} {one['kind']}: {one['size']} entries, "
            f"{one['checkpoint_size']} public, {one['waiting']} waiting"
        )
        if one.get("stopped"):
            click.echo(f"  STOPPED: {one['stopped']}")
    if not found:
        click.echo("No log has an entry yet.")


def _add_stopped(found: list[dict[str, Any]], folder: Path) -> None:
    """Also of logs that the database no longer knows."""
    from votepyramid.logs.keeping import stopped

    reasons = stopped(folder)
    for one in found:
        one["stopped"] = reasons.pop(Log(one["election"], one["kind"]), None)
    nothing = {"size": 0, "checkpoint_size": 0, "waiting": 0}
    for each, reason in reasons.items():
        names = {"election": each.election, "kind": each.kind}
        found.append({**names, **nothing, "stopped": reason})


@log.command("adopt")
@click.argument("election", metavar="ELECTION")
@click.argument("kind", metavar="KIND", type=click.Choice([RECEIPTS, AUDIT]))
@click.argument(
    "files",
    metavar="CHECKPOINT...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@as_json
@refusing
def adopt_command(
    election: str, kind: str, files: tuple[Path, ...], as_json: bool
) -> None:
    """Let a log go on whose checkpoint in VOTEPYRAMID_CHECKPOINT_FOLDER was lost.

    KIND is receipts or audit. Fetch its checkpoints from everybody who has some:
    witnesses, auditors, voters, caches, the folder of another host. Give them all. Each
    must be signed by the log, and the log in the database begin with it; the newest is
    kept. What they say is believed: a newer one that nobody gave is not missed. Not
    from the database alone, unless it is certain that it was never set back.

    \b
    As the account that the sequencer runs under, with
    VOTEPYRAMID_OWNER_DATABASE_URL; then restart the sequencer.
      votepyramid log adopt spring receipts witness.checkpoint cdn.checkpoint
    """
    from votepyramid.logs.keeping import Keeping
    from votepyramid.receipts.adopting import adopt

    settings = Settings.load()
    keeping = Keeping(Path(settings.require("checkpoint_folder")))
    notes = {str(path): _read_note(path) for path in files}
    with owner_engine(settings) as engine:
        kept = adopt(engine, keeping, Log(election, kind), notes)
    answer(
        as_json,
        {"election": election, "kind": kind, "size": kept.size},
        f"The {kind} log of {election} goes on from {kept.size} entries. Restart the "
        "sequencer.",
    )


def _read_note(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_CHECKPOINT_BYTES + 1).decode()
    except OSError as error:
        raise CeremonyError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CeremonyError(f"{path} is no checkpoint: it is not UTF-8") from None


def _engine(url: str) -> Engine:
    return make_engine(
        url,
        pool_size=4,
        application_name="votepyramid-sequencer",
    )


def _standing(engine: Engine) -> list[dict[str, Any]]:
    waiting = (
        select(func.count())
        .where(LogQueue.election == LogHead.election, LogQueue.kind == LogHead.kind)
        .scalar_subquery()
    )
    query = select(
        LogHead.election,
        LogHead.kind,
        LogHead.size,
        LogHead.checkpoint_size,
        waiting.label("waiting"),
    ).order_by(LogHead.election, LogHead.kind)
    with engine.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(query)]
