"""Building the Temporal programs, and one of the tests', from pinned Go modules."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from votepyramid.stack.errors import StackError

PACKAGES = {
    "temporal": "github.com/temporalio/cli/cmd/temporal",
    "temporal-server": "go.temporal.io/server/cmd/server",
    "temporal-sql-tool": "go.temporal.io/server/cmd/tools/sql",
    "temporal-ui-server": "github.com/temporalio/ui-server/v2/cmd/server",
    "promtool": "github.com/prometheus/prometheus/cmd/promtool",
}
# Without the clients of a dozen clouds, which would find it targets to scrape.
_TAGS = {"promtool": "remove_all_sd"}
_SAY_EVERY_SECONDS = 10.0
# Go 1.21 fetches by itself the toolchain that go.mod asks for.
_OLDEST_GO = (1, 21)
# Where Go's own installer puts it, often without a word to PATH.
USUAL_GO = "/usr/local/go/bin"


def build(
    modules: Path, wanted: Mapping[str, Path], say: Callable[[str], None]
) -> None:
    """Build `wanted` (program name to target path) from the module file's pins.

    A cold build of the command line compiles about 1,900 packages: five minutes on
    two cores. The target appears whole or not at all.

    Raises:
        StackError: Go is missing or too old, or the build failed.
    """
    go = _go()
    for name, target in wanted.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        half = target.with_name(f"{name}.{os.getpid()}.part")
        try:
            _run(go, modules, name, half, say)
            half.replace(target)
        finally:
            half.unlink(missing_ok=True)


def _go() -> str:
    go = shutil.which("go") or shutil.which("go", path=USUAL_GO)
    if go is None:
        raise StackError(
            "Temporal is missing: it is neither on PATH nor in the cache, cannot be "
            "downloaded here, and Go, which would build it, is not installed; "
            "install Go 1.21 or newer, or set VOTEPYRAMID_TEMPORAL_BIN to a "
            "`temporal` program."
        )
    said = subprocess.run([go, "version"], capture_output=True, text=True, check=False)
    found = re.search(r"go(\d+)\.(\d+)", said.stdout)
    if found is None or tuple(map(int, found.groups())) < _OLDEST_GO:
        raise StackError(f"Temporal needs Go 1.21 or newer to build; {go} is older.")
    return go


def _run(
    go: str, modules: Path, name: str, target: Path, say: Callable[[str], None]
) -> None:
    started = time.monotonic()
    next_word = started + _SAY_EVERY_SECONDS
    say(f"Building {name} with Go (up to 5 minutes the first time on two cores).")
    command = [go, "build", "-v", "-trimpath", "-ldflags", "-s -w", "-o", str(target)]
    command += ["-tags", _TAGS.get(name, "")]
    process = subprocess.Popen(
        [*command, PACKAGES[name]],
        cwd=modules,
        env={**os.environ, "CGO_ENABLED": "0"},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    compiled, said = 0, []
    try:
        # Go prints one line a package; downloads and complaints have spaces.
        for line in process.stderr:
            if " " in line:
                said.append(line.rstrip())
            else:
                compiled += 1
            if time.monotonic() > next_word:
                next_word += _SAY_EVERY_SECONDS
                seconds = time.monotonic() - started
                say(f"  {name}: {compiled} packages compiled, {seconds:.0f} s")
    except BaseException:
        process.kill()
        raise
    if process.wait() != 0:
        reason = "\n".join(said[-12:])
        raise StackError(f"Go could not build {name}:\n{reason}")
    say(f"  {name}: built in {time.monotonic() - started:.0f} s")
