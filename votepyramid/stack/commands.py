"""`votepyramid up`, `reset` and `db`."""

from __future__ import annotations

from pathlib import Path

import click

from votepyramid.elections.console import answer, as_json
from votepyramid.settings import Settings
from votepyramid.stack import migrations
from votepyramid.stack.accounts import postgres_account
from votepyramid.stack.errors import StackError
from votepyramid.stack.layout import VAR, Layout
from votepyramid.stack.postgres import EmbeddedPostgres
from votepyramid.stack.progress import Progress

_STATE = click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=VAR,
    help="Where the stack's state lives.  [default: var/ of the checkout]",
)


@click.command()
@_STATE
@click.option("--no-demo", is_flag=True, help="Load no demo election.")
@click.option("--exit", "leave", is_flag=True, help="Stop everything once it is up.")
def up(state: Path, no_demo: bool, leave: bool) -> None:
    """Run the whole stack on this machine until Ctrl-C.

    The embedded Postgres gives way to VOTEPYRAMID_DATABASE_URL (with
    VOTEPYRAMID_OWNER_DATABASE_URL), Temporal to VOTEPYRAMID_TEMPORAL_ADDRESS.
    """
    from votepyramid.stack.up import Options, Stack

    Stack(Layout(state), Progress(), Options(demo=not no_demo, watch=not leave)).run()


@click.command()
@_STATE
def reset(state: Path) -> None:
    """Throw the stack's state away: database, histories, keys, logs.

    Refuses while a stack runs.
    """
    layout = Layout(state)
    if not layout.var.exists():
        click.echo("There is nothing to throw away.")
        return
    if any(layout.var.iterdir()) and not layout.run.is_dir():
        raise StackError(f"{layout.var} is not the state folder of a stack.")
    with layout.locked():
        layout.stop_orphans()
        EmbeddedPostgres(layout.postgres_home(postgres_account())).stop_orphan()
        layout.remove()
    click.echo(f"Threw {layout.var} away.")


@click.group()
def db() -> None:
    """Migrate the database at VOTEPYRAMID_OWNER_DATABASE_URL."""


@db.command()
@click.argument("revision", default="head")
@as_json
def upgrade(revision: str, as_json: bool) -> None:
    """Bring the schema up to REVISION (the newest)."""
    migrations.upgrade(_owner_url(), revision)
    _tell(as_json)


@db.command()
@click.argument("revision")
@as_json
def downgrade(revision: str, as_json: bool) -> None:
    """Take the schema back to REVISION, `base` being empty: loses data."""
    migrations.downgrade(_owner_url(), revision)
    _tell(as_json)


@db.command()
@as_json
def current(as_json: bool) -> None:
    """Show which revision the schema is at."""
    _tell(as_json)


def _owner_url() -> str:
    return Settings.load().require("owner_database_url")


def _tell(as_json: bool) -> None:
    revision, newest = migrations.current(_owner_url()), migrations.head()
    behind = "" if revision == newest else f" (the newest is {newest})"
    text = f"The schema is at {revision or 'nothing'}{behind}."
    answer(as_json, {"revision": revision, "head": newest}, text)
