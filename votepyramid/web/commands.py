"""`votepyramid serve`: one web process, or several on one port."""

from __future__ import annotations

import configparser
import warnings
from pathlib import Path

import click

from votepyramid.processes import configure_process, leave
from votepyramid.settings import Settings, SettingsError


@click.command("serve")
@click.argument("ini", type=click.Path(exists=True, dir_okay=False))
@click.option("--app", "section", default="main", help="Which [app:NAME] to serve.")
@click.option("--listen", help="host:port, instead of the ini file's.")
@click.option("--fd", type=int, help="Serve on this inherited listening socket.")
def serve(ini: str, section: str, listen: str | None, fd: int | None) -> None:
    """Serve the web application of an ini file until SIGTERM.

    On SIGTERM the process stops accepting, answers what is inside and leaves.

    \b
    Examples:
      votepyramid serve development.ini
      votepyramid serve production.ini --app cast --listen 127.0.0.1:7001
    """
    parser = configparser.ConfigParser(
        defaults={"here": str(Path(ini).resolve().parent)}, interpolation=None
    )
    parser.read(ini)
    if not parser.has_section(f"app:{section}"):
        raise SettingsError(f"{ini} has no section [app:{section}]")
    items = dict(parser.items(f"app:{section}"))
    configure_process(Settings.load(items), "web")
    # Pyramid's own affair, and nothing whoever starts this can do about.
    warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)
    # Imported late: metrics must know their directory first.
    from votepyramid.app import main as make_app
    from votepyramid.web.server import run

    app = make_app({}, **items)
    configured = parser.get("server:main", "listen", fallback="127.0.0.1:6543")
    try:
        run(app, listen=listen or configured, fd=fd)
    except OSError as error:
        click.echo(f"Error: cannot listen: {error.strerror}", err=True)
    leave(1)
