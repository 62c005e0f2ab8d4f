"""`votepyramid keys …`: the key-encryption keys, for an operator."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from votepyramid.custody import destroying, rotating
from votepyramid.custody.survey import Kek, survey
from votepyramid.custody.wrapping import by_kek
from votepyramid.elections.console import answer, as_json, owner_engine, refusing
from votepyramid.engine.rewrapping import Watcher, rewrap
from votepyramid.keys import providers
from votepyramid.keys.names import KekNames
from votepyramid.settings import ENVIRONMENT_PREFIX, Settings
from workflows.messages import RewrapKeysInput, RewrapProgress

_AFTER_MAKING = (
    "See with `votepyramid keys status`, with these and the service's credentials, "
    "that it works. Then restart every process, workers before the next `election "
    "prepare`."
)


@click.group()
def keys() -> None:
    """Show, rotate, rewrap and destroy key-encryption keys.

    They wrap every key of every election: issuance, ballot box and data keys. Where
    they are is the setting kek_provider; see docs/configuration.md.
    """


@keys.command("status")
@as_json
@refusing
def status_command(as_json: bool) -> None:
    """Try the key-encryption keys, and count what each has wrapped.

    The current one wraps and unwraps something; every other one unwraps a key of the
    database that it wrapped. Exit status 1 when one of them fails. A key that has
    wrapped nothing and is not current may be taken out of the settings.

    \b
    Examples:
      votepyramid keys status
      votepyramid keys status --json
    """
    settings = Settings.load()
    names = providers.names(settings)
    with owner_engine(settings) as engine:
        found = survey(providers.make(settings), names, engine)
    answer(
        as_json,
        {"provider": settings.kek_provider, "keks": [vars(kek) for kek in found]},
        "\n".join([f"Provider  {settings.kek_provider}", *map(_line, found)]),
    )
    sys.exit(any(kek.problem for kek in found))


def _line(kek: Kek) -> str:
    role = "current" if kek.current else "older"
    said = kek.problem or "works"
    return f"{role:8}  {kek.name}  {kek.wrapped_keys} wrapped keys: {said}"


@keys.command("rotate")
@click.argument("name", required=False)
@as_json
@refusing
def rotate_command(name: str | None, as_json: bool) -> None:
    """Make a new key-encryption key, where they are kept.

    In a key file it is then the current one, and the older keys stay, as what they
    wrapped is still to be read. Processes read the file when they start: bring it to
    every host first, then restart them all, workers before the next `election prepare`.
    Back the file up.

    In an HSM, AWS KMS, Vault or OpenBao the new key is NAME: it cannot be read out, and
    a name that is taken is refused. Settings say which key is current; the command says
    which to change. The credentials must be allowed to make keys; those of a service
    should not.

    It is written into the audit trail of every election, before and after.

    \b
    Examples:
      votepyramid keys rotate && systemctl restart 'votepyramid-*'
      votepyramid keys rotate kek-2027
    """
    settings = Settings.load()
    file = settings.kek_provider == "file"
    if name is None and not file:
        raise click.UsageError("Name the new key, such as kek-2027.")
    names, store = providers.names(settings), providers.make(settings)
    with owner_engine(settings) as engine:
        wanted = name or secrets.token_hex(4)
        made = rotating.rotate(engine, store, wanted, file=file)
    if file:
        path = settings.kek_file
        shown = {"rotated": True, "current": made, "file": path}
        answer(as_json, shown, f"{path} has the new current key {made}.")
    else:
        _say_settings(as_json, names, names.after(made))


def _say_settings(as_json: bool, before: KekNames, after: KekNames) -> None:
    older = " ".join(sorted(after.older))
    changed = {"kek_current": after.current, "kek_older": older}
    shown = {
        "rotated": False,
        "current": before.current,
        "made": after.current,
        "settings": changed,
    }
    lines = [
        f"{after.current} is made, and nothing is under it yet. Set for every process:",
        *(
            f"  {ENVIRONMENT_PREFIX}{one.upper()}='{value}'"
            for one, value in changed.items()
        ),
        _AFTER_MAKING,
    ]
    answer(as_json, shown, "\n".join(lines))


@keys.command("rewrap")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also what is under the current key already: after a KMS has rotated a key "
    "that keeps its name.",
)
@as_json
@refusing
def rewrap_command(everything: bool, as_json: bool) -> None:
    """Wrap every key of every election anew, under the current key-encryption key.

    No ballot is touched: the keys stay the same, under another wrapping. After
    `keys rotate`, when every process has been restarted.

    A workflow does it, on a worker with `--role keys`. Ctrl-C stops the watching, not
    the work; the same command joins it again. Exit status 1 when something is left
    that is not under the current key.

    \b
    Examples:
      votepyramid worker --role keys &
      votepyramid keys rewrap
    """
    settings = Settings.load()
    target = providers.names(settings).current
    asked = RewrapKeysInput(target, everything=everything)
    try:
        with _bar(settings.keys_task_queue, quiet=as_json) as watch:
            done = rewrap(settings, asked, watch)
    except KeyboardInterrupt:
        click.echo("It goes on; the same command shows how far it is.", err=True)
        sys.exit(130)
    with owner_engine(settings) as engine, engine.connect() as connection:
        left = sum(n for name, n in by_kek(connection).items() if name != target)
    shown = {
        "current": target,
        "rewrapped": done.rewrapped,
        "failed": done.failed,
        "examples": done.examples,
        "left": left,
    }
    answer(as_json, shown, _rewrapped(done, left))
    sys.exit(bool(left or done.failed))


def _rewrapped(done: RewrapProgress, left: int) -> str:
    lines = [f"{done.rewrapped} keys are newly under {done.target}."]
    if done.failed:
        lines.append(
            f"{done.failed} do not open; `votepyramid keys status` says under which "
            f"key. Ids in wrapped_keys: {', '.join(done.examples)}"
        )
    if left:
        lines.append(
            f"{left} are under an older key. Where they open, a process makes keys "
            "that was not restarted since the rotation: restart it, and repeat this."
        )
    return "\n".join(lines)


@contextmanager
def _bar(queue: str, *, quiet: bool) -> Iterator[Watcher]:
    """A progress bar on standard error."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda progress, stuck: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("Rewrapping", total=None)

        def watch(progress: RewrapProgress | None, stuck: bool) -> None:
            if progress is None:
                said = f"No worker answers on {queue}: votepyramid worker --role keys"
                bar.update(task, description=said)
                return
            done = progress.rewrapped + progress.failed
            total = None if progress.left is None else done + progress.left
            said = "Waiting for the KMS or the database" if stuck else "Rewrapping"
            bar.update(task, description=said, completed=done, total=total)

        yield watch


@keys.command("destroy")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do it, without asking for the name again.")
@as_json
@refusing
def destroy_command(name: str, yes: bool, as_json: bool) -> None:
    """Destroy the older key-encryption key NAME. What it wrapped is lost for ever.

    Refused while it is current, or a key of an election is under it. So backups of the
    database from before the last `keys rewrap` become unreadable: their ballots'
    envelopes, and their issuance keys.

    Without --yes it asks for the name again, and where it cannot ask it only says what
    it would do. The credentials must be allowed to destroy keys; those of a service
    should not.

    \b
    Examples:
      votepyramid keys destroy kek-2025
      votepyramid keys destroy 1f0c9a2b --yes --json
    """
    settings = Settings.load()
    names = providers.names(settings)
    store = providers.make(settings)
    with owner_engine(settings) as engine:
        destroying.check(engine, names, name)
        if not (yes or _typed(name, ask=not as_json)):
            said = "nothing is wrapped under it; repeat with --yes to destroy it"
            shown = {"destroyed": False, "kek": name, "said": said}
            answer(as_json, shown, f"{name}: {said}.")
            return
        said = destroying.destroy(engine, names, store, name)
    shown = {"destroyed": True, "kek": name, "said": said}
    answer(as_json, shown, f"{name}: {said}.")


def _typed(name: str, *, ask: bool) -> bool:
    if not (ask and sys.stdin.isatty()):
        return False
    typed: str = click.prompt("What it wrapped is lost for ever. Type its name")
    return typed == name
