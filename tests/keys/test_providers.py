"""One place makes the provider that the settings name, or says what to set."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house import source
from votepyramid.keys import providers
from votepyramid.keys.local import LocalKeyFile
from votepyramid.settings import Settings, SettingsError


def test_a_key_file_is_the_default(tmp_path: Path) -> None:
    LocalKeyFile.create(tmp_path / "kek.json")
    made = providers.make(Settings(kek_file=str(tmp_path / "kek.json")))
    assert made.unwrap(b"c", made.wrap(b"c", b"key")) == b"key"


def test_an_unknown_provider_names_those_there_are() -> None:
    with pytest.raises(SettingsError, match=r"kek_provider must be one of .*'file'"):
        Settings.load({"votepyramid.kek_provider": "floppy"})


def test_nobody_else_reads_the_settings_of_the_provider() -> None:
    """A process that opened the key file itself would ignore `kek_provider`."""
    readers = {
        source.name(path)
        for path in source.in_packages(".py")
        if 'require("kek_' in path.read_text(encoding="utf-8")
    }
    assert readers == {"votepyramid/keys/providers.py"}
