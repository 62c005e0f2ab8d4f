"""The Temporal SDK's own download of the command line, bounded.

The SDK downloads only as part of starting a server, so a child process does that and
ends; where there is no way out to the internet it is given up after seconds, not
after the SDK's own retries.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# The release that the pinned modules build.
VERSION = "v1.8.2"
_SILENCE_SECONDS = 10.0
_PROGRAM = """
import asyncio, sys
from temporalio.testing import WorkflowEnvironment

async def main():
    environment = await WorkflowEnvironment.start_local(
        download_dest_dir=sys.argv[1], dev_server_download_version=sys.argv[2]
    )
    await environment.shutdown()

asyncio.run(main())
"""


def download(target: Path, say: Callable[[str], None]) -> bool:
    """Try to put the `temporal` program at `target`; False when it cannot be had."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, folder, VERSION],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait(process, Path(folder), say)
        finally:
            process.kill()
            process.wait()
        found = [
            path
            for path in Path(folder).rglob("*temporal*")
            if path.is_file() and path.suffix != ".downloading"
        ]
        if process.returncode != 0 or not found:
            return False
        found[0].chmod(0o755)
        found[0].replace(target)
        return True


def _wait(
    process: subprocess.Popen[bytes], folder: Path, say: Callable[[str], None]
) -> None:
    """Until the child ends, or nothing has arrived for a while."""
    arrived, last_word = 0, time.monotonic()
    while process.poll() is None:
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if size > arrived:
            if arrived == 0:
                say("Downloading Temporal.")
            arrived, last_word = size, time.monotonic()
        elif time.monotonic() - last_word > _SILENCE_SECONDS:
            return
        time.sleep(0.2)
