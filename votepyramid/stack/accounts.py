"""Whom Postgres runs as, and which folders that account can reach.

Postgres refuses to run as root. As root we use an account the machine already has
and folders which that account owns; permissions of what is not ours stay untouched.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from votepyramid.stack.children import Account
from votepyramid.stack.errors import StackError

WAY_OUT = "set VOTEPYRAMID_DATABASE_URL to a PostgreSQL server of your own"


def postgres_account() -> Account | None:
    """The account to run Postgres as; None means as ourselves.

    Raises:
        StackError: we are root and the machine has no unprivileged account.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise StackError(
        "Postgres does not run as root and this machine has neither a user "
        f"'postgres' nor 'nobody': run as another user, or {WAY_OUT}."
    )


def can_run(account: Account | None, command: list[str]) -> bool:
    """True when `command`, run as `account`, exits with 0: asked, not computed."""
    who = {} if account is None else {"user": account.uid, "group": account.gid}
    try:
        done = subprocess.run(  # type: ignore[call-overload]
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            check=False,
            **who,
            **({} if account is None else {"extra_groups": []}),
        )
    except OSError:
        return False
    return bool(done.returncode == 0)


def can_enter(account: Account | None, folder: Path) -> bool:
    """True when `account` can reach `folder` through all of its parents."""
    return can_run(account, ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)])


def private_folder(folder: Path, account: Account | None) -> None:
    """Make `folder` (0700) for `account`, which must then be able to use it.

    Raises:
        StackError: a parent is closed to the account, or the folder is another's.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if account is not None and folder.stat().st_uid != account.uid:
        if any(folder.iterdir()):
            raise StackError(f"{folder} belongs to another user than {account.name}.")
        os.chown(folder, account.uid, account.gid)
    if not can_enter(account, folder):
        name = account.name if account is not None else "you"
        raise StackError(
            f"Postgres runs as user '{name}', to whom {folder} is closed by one of "
            f"its parent folders: move the checkout, or {WAY_OUT}."
        )


def readable_copy(source: Path, target: Path) -> Path:
    """Copy the tree `source` to `target`, world-readable, unless it is there."""
    if target.exists():
        return target
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    half = target.with_name(f"{target.name}.{os.getpid()}.part")
    shutil.copytree(source, half, symlinks=True)
    for path in [half, *half.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    try:
        half.rename(target)
    except OSError:
        # Another start was quicker; its copy is as good.
        shutil.rmtree(half)
    return target
