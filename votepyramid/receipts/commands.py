"""`votepyramid log`: the sequencer, and where the logs stand."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Engine, func, select

from votepyramid.db import make_engine
from votepyramid.keys import providers
from votepyramid.keys.service import RECEIPT_LOG, ElectionKeys
from votepyramid.logs.models import LogHead, LogQueue
from votepyramid.logs.store import RECEIPTS
from votepyramid.processes import configure_process, leave
from votepyramid.settings import Settings


@click.group("log")
def log() -> None:
    """The public log of receipts.

    Every accepted vote waits for its log; the sequencer appends them in batches and
    signs checkpoints. Where they stand is also at /api/elections/ID/log/checkpoint.
    """


@log.command("sequence")
@click.option("--once", is_flag=True, help="Append all that waits, and end.")
def sequence(once: bool) -> None:
    """Run a sequencer until SIGTERM. A second one waits until the first has gone.

    It needs its own database role (VOTEPYRAMID_DATABASE_URL), the key-encryption key,
    and a folder outside the database for the newest checkpoints
    (VOTEPYRAMID_CHECKPOINT_FOLDER), on another disk and in no backup that is restored
    with the database.

    Ends with 3 when a log cannot be continued: see the runbook.
    """
    settings = Settings.load()
    configure_process(settings, "sequencer")
    # Imported late: metrics must know their directory first.
    from votepyramid.logs.keeping import Keeping
    from votepyramid.logs.sequencer import LogBusy, LogForked, Sequencer, Source
    from votepyramid.logs.store import LogDamaged
    from votepyramid.receipts.entries import entries

    engine = _engine(settings)
    keys = ElectionKeys(providers.make(settings), engine, settings.data_key_rows)
    keeping = Keeping(Path(settings.require("checkpoint_folder")))
    sources = {RECEIPTS: Source(RECEIPT_LOG, entries)}
    sequencer = Sequencer(engine, keys, keeping, sources, settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        if once:
            sequencer.once()
        else:
            sequencer.run(stop)
    except (LogForked, LogDamaged) as error:
        click.echo(f"ALARM: {error}", err=True)
        leave(3)
    except LogBusy as error:
        click.echo(f"Error: {error}", err=True)
        leave(1)
    leave(0)


@log.command("status")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def status(as_json: bool) -> None:
    """Each log's size, its newest checkpoint's, and how many entries wait."""
    found = _standing(_engine(Settings.load()))
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for one in found:
        click.echo(
            f"{one['election']} {one['kind']}: {one['size']} entries, "
            f"{one['checkpoint_size']} public, {one['waiting']} waiting"
        )
    if not found:
        click.echo("No log has an entry yet.")


def _engine(settings: Settings) -> Engine:
    return make_engine(
        settings.require("database_url"),
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
