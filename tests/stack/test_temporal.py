"""Where the Temporal programs come from, in order, and what is said without them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from votepyramid.stack import temporal
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.errors import StackError

VERSION = "#!/bin/sh\necho 'temporal version 1.0.0 (Server {}, UI 2.50.1)'\n"
# Stands in for the compiler: says what Go says, and takes a while.
GO = """#!/bin/sh
if [ "$1" = version ]; then echo "go version go1.26.8 linux/amd64"; exit; fi
echo "go: downloading example.org/module v1.0.0" >&2
echo "example.org/module" >&2
echo run >> "{runs}"
sleep 1
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\n' > "$2"
chmod +x "$2"
"""
NO_GO = "#!/bin/sh\n[ $1 = version ] && echo go version go1.26.8 && exit\n"
NO_GO += "echo 'package x: cannot find module' >&2; exit 1\n"


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without Temporal, Go or a way out; returns its only PATH folder."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # The SDK downloads through this proxy, behind which nothing listens.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("VOTEPYRAMID_TEMPORAL_BIN", raising=False)
    monkeypatch.setattr("votepyramid.stack.gobuild.USUAL_GO", str(tmp_path))
    if shutil.which("go") or shutil.which("temporal"):
        pytest.skip("Go or Temporal lies in /usr/bin")
    return folder


def test_the_given_program_comes_first(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(bare / "temporal", VERSION.format("1.31.2"))
    given = program(tmp_path / "mine", VERSION.format("1.31.0"))
    monkeypatch.setenv("VOTEPYRAMID_TEMPORAL_BIN", str(given))
    assert temporal.find_cli() == given


@pytest.mark.parametrize(
    ("text", "has"), [(VERSION.format("1.29.7"), "1.29.7"), ("#!/bin/sh\n", "none")]
)
def test_a_given_program_that_is_too_old_is_refused(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, has: str
) -> None:
    given = program(tmp_path / "mine", text)
    monkeypatch.setenv("VOTEPYRAMID_TEMPORAL_BIN", str(given))
    with pytest.raises(StackError, match=f"from 1.31 on; it has {has}"):
        temporal.find_cli()


def test_an_installed_program_comes_before_the_cache(bare: Path) -> None:
    program(temporal.cache_folder() / "temporal", VERSION.format("1.31.2"))
    installed = program(bare / "temporal", VERSION.format("1.31.2"))
    assert temporal.find_cli() == installed


def test_an_old_installed_program_is_passed_over_and_named(bare: Path) -> None:
    cached = program(temporal.cache_folder() / "temporal", VERSION.format("1.31.2"))
    installed = program(bare / "temporal", VERSION.format("1.28.0"))
    said: list[str] = []
    assert temporal.find_cli(said.append) == cached
    assert said == [f"{installed} is too old and is not used."]


def test_without_anything_one_sentence_says_what_helps(bare: Path) -> None:
    with pytest.raises(StackError, match=r"Go 1\.21.*VOTEPYRAMID_TEMPORAL_BIN"):
        temporal.find_cli()
    assert list(temporal.cache_folder().iterdir()) == [temporal.cache_folder() / "lock"]


def test_a_failed_build_says_gos_reason_and_leaves_nothing(bare: Path) -> None:
    program(bare / "go", NO_GO)
    with pytest.raises(StackError, match="cannot find module"):
        temporal.find_cli()
    assert [path.name for path in temporal.cache_folder().iterdir()] == ["lock"]


def test_two_at_once_build_once(bare: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    program(bare / "go", GO.format(runs=runs))
    script = "from votepyramid.stack import temporal; print(temporal.find_cli(print))"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate()[0] for process in both]
    cached = temporal.cache_folder() / "temporal"
    assert all(text.splitlines()[-1] == str(cached) for text in said)
    # The command line, and the console beside it.
    assert runs.read_text() == "run\n" * 2
    assert temporal.find_console() == cached.with_name("temporal-ui-server")
    assert sum("waiting for it" in text for text in said) == 1


def test_the_development_server_says_why_it_did_not_start(
    temporal_cli: Path, tmp_path: Path
) -> None:
    server = DevServer(temporal_cli, tmp_path, extra=["--no-such-flag"])
    with pytest.raises(StackError, match="no-such-flag"):
        server.start()
    assert not server.alive()
