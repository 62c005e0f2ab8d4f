"""A folder for servers that run as another account."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """Like tmp_path, but others may pass through it."""
    with short_folder() as made:
        yield made


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder that goes at the end."""
    made = Path(tempfile.mkdtemp(prefix="votepyramid-stack-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)
