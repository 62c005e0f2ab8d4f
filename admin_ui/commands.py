"""`votepyramid admin`: the administrators' pages."""

from __future__ import annotations

import dataclasses
import warnings

import click
import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from votepyramid.processes import configure_process, leave
from votepyramid.settings import Settings

log = structlog.get_logger(__name__)

# A handful of people; a passphrase being checked holds a thread for a moment.
THREADS = 16
# Of an export, for who downloads it.
AHEAD = 1024 * 1024


@click.command()
@click.option("--listen", default="127.0.0.1:8235", show_default=True)
def admin(listen: str) -> None:
    """Serve the administrators' pages until SIGTERM.

    A process by itself, with a database role of its own. Its pages are those of
    VOTEPYRAMID_ADMIN_ORIGIN alone, behind TLS in production. Where nobody can
    administer yet, the log says so: `votepyramid people setup-link` prints a one-time
    link for the first administrator, which is not for a log, nor for this role.
    """
    settings = Settings.load()
    configure_process(settings, "admin")
    warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)
    # Imported late: metrics must know their directory first.
    from admin_ui.app import make_app
    from votepyramid.web.server import run

    few = dataclasses.replace(settings, threads=THREADS, waiting_bound=THREADS - 1)
    app = make_app(few)
    _say_whether_anybody_can(app.registry["services"].engine)
    try:
        run(app, listen=listen, ahead=AHEAD)
    except OSError as error:
        click.echo(f"Error: cannot listen: {error.strerror}", err=True)
    leave(1)


def _say_whether_anybody_can(engine: Engine) -> None:
    # Imported late, too.
    from votepyramid.people import service as people

    try:
        with engine.connect() as connection:
            somebody = people.administrators(connection)
    except SQLAlchemyError:
        # Its pages say what is wrong with the database.
        return
    finally:
        # None is left that a database started anew in the meantime would have cut.
        engine.dispose()
    if not somebody:
        log.warning("nobody_administers_yet", run="votepyramid people setup-link")
