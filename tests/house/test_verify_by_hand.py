"""The commands of docs/verify.md, run as they stand there on a receipt file."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.elections.drafts import AUTHORITY, BALLOT_BOX, ORIGIN, manifest
from tests.house.source import ROOT
from tests.support.needs import needs
from votepyramid.client import files
from votepyramid.client.ballots import SealedBallot
from votepyramid.client.files import BallotFile
from votepyramid.protocol.ballot import seal_ballot
from votepyramid.protocol.manifest import sign_manifest
from votepyramid.protocol.receipt import answer_bytes, sign_receipt

pytestmark = needs("openssl")

BEARER = uuid.UUID("7d3c6f1e-52b0-8a4d-9c1f-0b7e3a2d5c48")
SELECTIONS: dict[str, Any] = {
    "mayor": [["bo"], ["ana"], []],
    "bridge": [["yes", "no"]],
}


def steps() -> list[str]:
    text = (ROOT / "docs" / "verify.md").read_text(encoding="utf-8")
    return re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def receipt_file(folder: Path) -> Path:
    """What `votepyramid vote` leaves behind."""
    made = manifest()
    sealed = seal_ballot(made, "north", BEARER, SELECTIONS)
    note = sign_receipt(BALLOT_BOX, ORIGIN, sealed.m, sealed.leaf)
    ballot = SealedBallot(
        election=made["id"],
        m=sealed.m,
        style=sealed.style,
        suite=sealed.suite,
        kid=sealed.kid,
        bearer=BEARER,
        payload=sealed.payload,
        receipt_hash=sealed.receipt_hash,
    )
    path = folder / "receipt.json"
    answer = answer_bytes(sealed.leaf, note)
    signed = sign_manifest(made, AUTHORITY)
    files.create(path, BallotFile("https://votes.example", ballot, signed, answer))
    return path


def run(step: str, folder: Path) -> subprocess.CompletedProcess[str]:
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    if not (tools / "python3").exists():
        (tools / "python3").symlink_to(sys.executable)
    # -I: nothing of ours can be imported by accident.
    isolated = step.replace("python3 -", "python3 -I -")
    return subprocess.run(
        ["bash", "-e", "-c", isolated],
        check=False,
        cwd=folder,
        env={"PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )


def test_a_good_receipt_passes_every_step(tmp_path: Path) -> None:
    path = receipt_file(tmp_path)
    saved = json.loads(path.read_text())
    printed = ""
    assert len(steps()) == 3
    for step in steps():
        ran = run(step, tmp_path)
        assert ran.returncode == 0, ran.stderr
        printed += ran.stdout
    assert f"manifest hash {saved['manifest_hash']}" in printed
    assert f"receipt hash {saved['receipt_hash']}" in printed
    assert "Signature Verified Successfully" in printed


def change(path: Path, **members: Any) -> None:
    saved = json.loads(path.read_text())
    path.write_text(json.dumps({**saved, **members}))


def change_answer(path: Path, old: str, new: str) -> None:
    saved = json.loads(path.read_text())
    assert old in saved["answer"]
    change(path, answer=saved["answer"].replace(old, new))


def test_another_manifest_fails_the_first_step(tmp_path: Path) -> None:
    path = receipt_file(tmp_path)
    saved = json.loads(path.read_text())
    saved["signed_manifest"]["manifest"]["title"] = "Another election"
    path.write_text(json.dumps(saved))
    assert run(steps()[0], tmp_path).returncode != 0


@pytest.mark.parametrize("member", ["token", "payload", "style", "manifest_hash"])
def test_another_ballot_fails_the_second_step(tmp_path: Path, member: str) -> None:
    path = receipt_file(tmp_path)
    value = json.loads(path.read_text())[member]
    change(path, **{member: ("1" if value[0] != "1" else "2") + value[1:]})
    assert run(steps()[1], tmp_path).returncode != 0


def test_another_text_or_signature_fails_the_third_step(tmp_path: Path) -> None:
    path = receipt_file(tmp_path)
    original = path.read_text()
    change_answer(path, ORIGIN, "votepyramid.example/other")
    assert run(steps()[2], tmp_path).returncode != 0
    # A signature of somebody else under the ballot box's name.
    path.write_text(original)
    saved = json.loads(original)
    note = json.loads(saved["answer"])["note"]
    signature = note.rsplit(" ", 1)[1].strip()
    forged = signature[:10] + ("A" if signature[10] != "A" else "B") + signature[11:]
    change_answer(path, signature, forged)
    ran = run(steps()[2], tmp_path)
    assert ran.returncode != 0
    assert "Verification Failure" in ran.stdout + ran.stderr


def test_the_file_that_is_tested_is_one_that_our_command_takes(tmp_path: Path) -> None:
    path = receipt_file(tmp_path)
    votepyramid = Path(sys.executable).with_name("votepyramid")
    ran = subprocess.run(
        [votepyramid, "verify", path, "--authority", AUTHORITY.verifier.text()],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
