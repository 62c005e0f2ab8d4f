"""SoftHSM from Debian: a token of our own, and an operator at its console.

One configuration for the session, as the library reads it once a process. The
operator is another process, as he is in life, and because a login is shared by all
sessions of one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PIN = "1234"
_MODULES = ("/usr/lib/softhsm", "/usr/local/lib/softhsm", "/usr/lib64/pkcs11")

_OPERATE = """
import sys, pkcs11
module, token, pin, what, label, size, readable = sys.argv[1:]
session = pkcs11.lib(module).get_token(token_label=token).open(user_pin=pin, rw=True)
if what == "make":
    session.generate_key(
        pkcs11.KeyType.AES, int(size), label=label, store=True,
        template={
            pkcs11.Attribute.EXTRACTABLE: readable == "readable",
            pkcs11.Attribute.SENSITIVE: readable != "readable",
        },
    )
else:
    session.get_key(label=label).destroy()
"""


def module() -> Path | None:
    """The library, where Debian's and others' packages put it."""
    found = [Path(folder, "libsofthsm2.so") for folder in _MODULES]
    return next((path for path in found if path.is_file()), None)


def present() -> bool:
    return module() is not None and shutil.which("softhsm2-util") is not None


class Tokens:
    """The tokens of one folder. Sets SOFTHSM2_CONF for this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "tokens"
        self._folder.mkdir()
        config = folder / "softhsm2.conf"
        config.write_text(
            f"directories.tokendir = {self._folder}\nobjectstore.backend = file\n"
            "log.level = ERROR\n"
        )
        os.environ["SOFTHSM2_CONF"] = str(config)
        self.pin_file = folder / "pin"
        self.pin_file.write_text(f"{PIN}\n")
        self.pin_file.chmod(0o600)

    def make_token(self, token: str) -> None:
        _run("softhsm2-util", "--init-token", "--free", "--label", token)

    def lose_token(self, token: str) -> None:
        _run("softhsm2-util", "--delete-token", "--token", token)

    def make_key(
        self, token: str, label: str, bits: int = 256, readable: bool = False
    ) -> None:
        self._operate(token, "make", label, bits, readable)

    def destroy_key(self, token: str, label: str) -> None:
        self._operate(token, "destroy", label)

    @contextmanager
    def hung(self) -> Iterator[None]:
        """The library waits for ever, in its own code: another holds its locks."""
        script = (
            "import fcntl, sys\nfiles = [open(path, 'r+b') for path in sys.argv[1:]]\n"
            "for file in files: fcntl.lockf(file, fcntl.LOCK_EX)\n"
            "print('held', flush=True)\nsys.stdin.read()"
        )
        holder = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, self._folder.glob("*/*"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            holder.communicate()

    def _operate(
        self,
        token: str,
        what: str,
        label: str,
        bits: int = 256,
        readable: bool = False,
    ) -> None:
        words = [str(module()), token, PIN, what, label, str(bits)]
        _run(sys.executable, "-c", _OPERATE, *words, "readable" if readable else "no")


def _run(program: str, *words: str) -> None:
    secrets = ["--pin", PIN, "--so-pin", PIN] if "--init-token" in words else []
    subprocess.run([program, *words, *secrets], check=True, capture_output=True)
