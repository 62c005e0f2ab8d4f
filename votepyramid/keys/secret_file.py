"""Reading a small file that nobody else may read."""

from __future__ import annotations

import stat
from pathlib import Path

from votepyramid.keys.provider import KeyProviderError


def read(path: Path) -> str:
    """The file's text. Raises KeyProviderError, naming the file and what to do."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            # Opening a pipe would wait for a writer.
            raise KeyProviderError(f"{path} is not a file")
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise KeyProviderError(f"{path} can be read by others: chmod 600 it")
        return path.read_text()
    except OSError as error:
        raise KeyProviderError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise KeyProviderError(f"{path} is not text") from None
