"""`votepyramid worker`: one worker process in the foreground."""

from __future__ import annotations

import traceback

import click
import uvloop

from votepyramid.keys import providers
from votepyramid.keys.local import LocalKeyFile
from votepyramid.processes import configure_process, leave
from votepyramid.settings import ALONE, EXPORTING, Settings


@click.command("worker")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(["claim", "cast", "keys", "closing", "exporting"]),
    help="Serve only this line of work; repeatable. Default: the roles setting.",
)
def worker(roles: tuple[str, ...]) -> None:
    """Run a worker: it does the steps of claims and votes until it gets SIGTERM.

    Start one per core. Where claims and casts run apart, only workers of the claim
    role need the issuance key's KMS access. A worker of the role `keys` does nothing
    but `votepyramid keys rewrap`, with the keeper's database role; one of the role
    `closing` nothing but `votepyramid election close`, with the closer's; one of the
    role `exporting` nothing but the exports that the administrators' pages ask for,
    with the exporter's, into `exports_folder`.

    \b
    Examples:
      votepyramid worker
      votepyramid worker --role cast
    """
    settings = Settings.load({"votepyramid.roles": " ".join(roles)} if roles else None)
    # No vote goes on by a worker that does another thing alone.
    configure_process(settings, "-".join([*(settings.roles & ALONE), "worker"]))
    # Said at once, not when Temporal has been found.
    settings.require("database_url")
    if EXPORTING in settings.roles:
        settings.require("exports_folder")
    LocalKeyFile(settings.require("codec_keys_file"))
    providers.make(settings)
    # Imported late: metrics must know their directory first.
    from votepyramid.engine.worker import run

    try:
        uvloop.run(run(settings))
    except Exception:  # noqa: BLE001 - shown, and the process has to leave
        traceback.print_exc()
        leave(1)
    # Tearing down the SDK's own loop at interpreter exit crashes or hangs at times.
    leave(0)
