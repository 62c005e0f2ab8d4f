"""One place makes the provider that the settings name, or says what to set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import source
from votepyramid.keys import providers
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.names import KekNames
from votepyramid.settings import Settings, SettingsError


def test_a_key_file_is_the_default(tmp_path: Path) -> None:
    LocalKeyFile.create(tmp_path / "kek.json")
    made = providers.make(Settings(kek_file=str(tmp_path / "kek.json")))
    assert made.unwrap(b"c", made.wrap(b"c", b"key")) == b"key"


def test_an_unknown_provider_names_those_there_are() -> None:
    with pytest.raises(SettingsError, match=r"kek_provider must be one of .*'file'"):
        Settings.load({"votepyramid.kek_provider": "floppy"})


def test_nobody_else_opens_the_key_file() -> None:
    """A process that opened the key file itself would ignore `kek_provider`."""
    readers = {
        source.name(path)
        for path in source.in_packages(".py")
        if 'require("kek_file")' in path.read_text(encoding="utf-8")
    }
    assert readers == {"votepyramid/keys/providers.py"}


@pytest.mark.parametrize(
    ("name", "library"), [("pkcs11", "pkcs11"), ("aws", "boto3"), ("vault", "hvac")]
)
def test_a_library_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"votepyramid.keys.{name}", raising=False)
    with pytest.raises(SettingsError) as caught:
        providers.make(Settings(kek_provider=name))
    assert f"pip install 'votepyramid[{name}]'" in str(caught.value)


def test_no_library_is_loaded_that_was_not_chosen() -> None:
    script = (
        "import sys\nimport votepyramid.keys.providers\n"
        "print({'pkcs11', 'boto3', 'hvac'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "set()\n"


@pytest.mark.parametrize("seconds", ["0", "11"])
def test_a_kms_has_its_time(seconds: str) -> None:
    """Longer, and a step would be ended while it waits for a key."""
    with pytest.raises(SettingsError, match="kek_timeout must be over 0 and at most"):
        Settings.load({"votepyramid.kek_timeout": seconds})


def test_a_name_that_would_not_fit_is_refused() -> None:
    with pytest.raises(SettingsError, match="over 255 bytes"):
        KekNames.of(Settings(kek_current="k" * 256))
