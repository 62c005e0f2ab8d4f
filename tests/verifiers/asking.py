"""A verifier as a running program: one question and one answer a line, in JSON."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Each bit of a byte by itself, and every other way to change it.
BITS = bytes(1 << bit for bit in range(8))
ALL = bytes(range(1, 256))


class Asked:
    """The program. `env` is its whole environment."""

    def __init__(
        self,
        command: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
            cwd=cwd,
        )

    def question(self, kind: str, **request: Any) -> Any:
        """Its answer. Bytes go as base64."""
        assert self.process.stdin is not None and self.process.stdout is not None
        line = json.dumps({"kind": kind, **request}, default=_plain)
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def accepted_changes(
        self, of: str, masks: bytes = BITS, **request: Any
    ) -> list[list[int]]:
        """Of something that it accepts: the changes of one byte that it accepts too.

        `masks` are what each byte is changed by, one at a time. An accepted change is
        its place and mask.
        """
        said = self.question("changes", of=of, masks=masks, **request)
        assert said["good"] == "", said
        assert said["tried"] and said["tried"] % len(masks) == 0
        accepted: list[list[int]] = said["accepted"]
        return accepted

    def end(self) -> None:
        """Its input ends, and so does it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(timeout=10) == 0


def _plain(value: bytes) -> str:
    return base64.b64encode(value).decode()
