"""The commands of docs/verify.md, run as they stand there in a stranger's folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.house.source import ROOT

SETUP = "What every step uses"


def sections() -> dict[str, list[str]]:
    """The page's command blocks, by the heading above them: `1` to `9`, or its text."""
    text = (ROOT / "docs" / "verify.md").read_text(encoding="utf-8")
    found = {}
    for part in re.split(r"^##+ ", text, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        blocks = re.findall(r"^```sh\n(.*?)^```$", body, re.DOTALL | re.MULTILINE)
        if blocks:
            found[title.partition(". ")[0]] = blocks
    return found


@dataclass(frozen=True)
class Stranger:
    """Somebody with published tools, a folder, and what they were told."""

    folder: Path
    told: dict[str, str]
    packages: Path | None = None
    blocks: dict[str, list[str]] = field(default_factory=sections)

    def run(self, step: str, *numbers: int) -> subprocess.CompletedProcess[str]:
        """The blocks of a step, all or these, after those that every step uses."""
        wanted = self.blocks[step]
        chosen = [wanted[n] for n in numbers] if numbers else wanted
        env = {**self.told, "PATH": f"{self._tools()}:{os.environ['PATH']}"}
        if self.packages is not None:
            env["PYTHONPATH"] = str(self.packages)
        return subprocess.run(
            ["bash", "-e", "-c", "\n".join([*self.blocks[SETUP], *chosen])],
            check=False,
            cwd=self.folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def holds(self, step: str, *numbers: int) -> str:
        """What a step prints that must end well."""
        done = self.run(step, *numbers)
        assert done.returncode == 0, (step, done.stdout, done.stderr)
        return done.stdout

    def fails(self, step: str, *numbers: int) -> None:
        """A step that must say that it failed, in one of the ways the page names."""
        done = self.run(step, *numbers)
        assert done.returncode != 0, (step, done.stdout)
        said = done.stdout + done.stderr
        signs = ("Traceback", "Verification Failure", "curl:")
        assert any(sign in said for sign in signs), said

    def told_otherwise(self, **told: str) -> Stranger:
        return replace(self, told={**self.told, **told})

    @contextmanager
    def copy(self, name: str) -> Iterator[Stranger]:
        """The same in a folder that can be spoilt."""
        folder = self.folder.with_name(name)
        shutil.copytree(self.folder, folder)
        yield replace(self, folder=folder)
        shutil.rmtree(folder)

    def _tools(self) -> Path:
        """Python without what is installed here, so without anything of ours."""
        tools = self.folder / "bin"
        tools.mkdir(exist_ok=True)
        words = "" if self.packages is not None else "-s -S "
        program = tools / "python3"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {words}"$@"\n')
        program.chmod(0o755)
        return tools
