"""Choices that a replay may have left on a disk."""

from __future__ import annotations

import base64
from pathlib import Path

BEGIN = b'{"contest":[['


def traces(*folders: Path) -> list[Path]:
    """Files that hold the beginning of any sealed plaintext, plain or in base64."""
    wanted = [BEGIN]
    for shift in range(3):
        # Whatever stands before it in a base64 text moves it by 0 to 2 bytes.
        encoded = base64.b64encode(b"\0" * shift + BEGIN)
        wanted.append(encoded[(0, 2, 3)[shift] : len(encoded) // 4 * 4 - 4])
    found = []
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and any(w in path.read_bytes() for w in wanted):
                found.append(path)
    return found
