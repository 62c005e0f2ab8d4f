"""Whether outsiders saw the logs of an export: by its own policy, or an auditor's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.auditors.conftest import Bureau, discrepancy, verify
from tests.auditors.test_sealed_anew import seal
from tests.support import sequencing
from tests.support.elections import MadeElection
from tests.support.voting import at_once
from tests.support.witness import Witness, policy, witnessing
from votepyramid.auditors.exporting import write
from votepyramid.auditors.folder import SEAL
from votepyramid.protocol import manifest as manifests
from votepyramid.protocol.notes import VerifierKey
from votepyramid.protocol.policy import Policy
from votepyramid.settings import Settings


@dataclass(frozen=True)
class Ring:
    """An election whose checkpoints two of three witnesses cosigned, and its export."""

    election: MadeElection
    export: Path
    policy: Path
    witnesses: list[Witness]
    # An engine's, whose settings name the policy.
    office: Bureau


@pytest.fixture(scope="module")
def ring(bureau: Bureau, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ring]:
    folder = tmp_path_factory.mktemp("cosigned")
    # What waits of other elections is not for these witnesses.
    bureau.sequence()
    election = bureau.engine.make_election(id="cosigned", voters=2)
    (door,) = bureau.engine.doors(election)
    ballots = at_once(lambda n: door.ballot(f"v{n}"), range(2))
    assert {one.status_code for one in at_once(door.cast, ballots)} == {200}
    with witnessing(folder, "w1", "w2", "w3") as witnesses:
        for one in witnesses:
            one.find = lambda origin: log_key(election, origin)
        witnesses[2].behave = witnesses[2].fail
        rules = policy(folder, 2, witnesses)
        settings = {"witness_policy": rules, "witness_timeout": 5}
        words = bureau.engine, bureau.checkpoints, "sequence", "--once"
        done = sequencing.log(*words, **settings)
        assert done.returncode == 0, done.stderr
        env = {**bureau.engine.env, "VOTEPYRAMID_WITNESS_POLICY": str(rules)}
        office = Bureau(replace(bureau.engine, env=env), bureau.checkpoints)
        export = folder / "export"
        assert office.export(election.id, export).returncode == 0
        yield Ring(election, export, rules, witnesses, office)


def log_key(election: MadeElection, origin: str) -> VerifierKey | None:
    keys = [
        manifests.signer(election.manifest, f"{k}_log") for k in ("receipt", "audit")
    ]
    return next((key for key in keys if key.name == origin), None)


def row(export: Path, *words: str) -> Any:
    done = verify(export, *words, "--json")
    assert done.returncode == 0, done.stdout
    rows = {one["check"]: one for one in json.loads(done.stdout)["checks"]}
    return rows["witnesses"]


def test_the_policy_in_force_is_in_the_export_and_met(ring: Ring) -> None:
    exported = Policy.parse((ring.export / "witness-policy").read_bytes())
    assert exported == Policy.parse(ring.policy.read_bytes())
    found = row(ring.export)
    # The engine itself says whom to believe.
    assert (found["count"], found["unchecked"]) == (4, True)
    assert "as the export says" in found["found"]


def test_an_auditors_own_policy_wins(ring: Ring, tmp_path: Path) -> None:
    own = policy(tmp_path, 1, ring.witnesses[:1])
    found = row(ring.export, "--policy", str(own))
    assert (found["count"], found["unchecked"]) == (2, False)
    for k, asked in ((3, ring.witnesses), (1, ring.witnesses[2:])):
        stricter = policy(tmp_path, k, asked)
        said = discrepancy(ring.export, "--policy", str(stricter))
        assert said["check"] == "witnesses"
        assert "of your policy cosigned" in said["problem"]
        assert "no quorum" in said["problem"]
    stricter.write_text("quorum nobody\n")
    assert verify(ring.export, "--policy", str(stricter)).returncode == 1


def test_cosignatures_that_are_taken_off_or_altered_are_found(
    ring: Ring, tmp_path: Path
) -> None:
    """By who has the statements key, and so can seal the export again."""
    lines = (ring.export / "audit-log/checkpoint").read_text().splitlines(True)
    assert len(lines) == 7
    alone = "".join(lines[:-2])
    altered = "".join([*lines[:-1], f"{lines[-1][:-8]}AAAAAA=\n"])
    for number, note in enumerate((alone, altered)):
        copy = Path(shutil.copytree(ring.export, tmp_path / str(number)))
        (copy / "audit-log/checkpoint").write_text(note)
        seal(copy, ring.election)
        found = discrepancy(copy)
        assert (found["check"], "audit-log: " in found["problem"]) == (
            "witnesses",
            True,
        )


def test_without_a_policy_it_says_so(
    bureau: Bureau, ring: Ring, tmp_path: Path
) -> None:
    done = bureau.export(ring.election.id, tmp_path / "export")
    assert done.returncode == 0, done.stdout
    assert not (tmp_path / "export/witness-policy").exists()
    found = row(tmp_path / "export")
    assert (found["count"], found["unchecked"]) == (0, True)
    assert "bring a --policy" in found["found"]
    # The cosignatures are there all the same.
    assert row(tmp_path / "export", "--policy", str(ring.policy))["count"] == 4


def test_one_that_was_cut_off_is_gone_on_with(
    bureau: Bureau, ring: Ring, tmp_path: Path
) -> None:
    """While it waits for the logs, when it has written nothing yet."""
    waits = bureau.engine.make_election(id="cosigned-later", voters=1)
    env, folder = ring.office.engine.env, tmp_path / "export"
    settings = Settings(
        temporal_address=env["VOTEPYRAMID_TEMPORAL_ADDRESS"],
        codec_keys_file=env["VOTEPYRAMID_CODEC_KEYS_FILE"],
        witness_policy=env["VOTEPYRAMID_WITNESS_POLICY"],
    )

    def cut_off(what: str, done: int, total: int) -> None:
        assert what == "log entries awaited"
        raise InterruptedError

    with pytest.raises(InterruptedError):
        write(waits.engine, waits.keys, settings, waits.id, folder, cut_off)
    bureau.sequence()
    done = ring.office.export(waits.id, folder)
    assert done.returncode == 0, done.stdout
    assert (folder / SEAL).exists() and (folder / "witness-policy").exists()
    # And in the middle, when it had written its first files.
    for name in (SEAL, "witness-policy", "manifest.json"):
        (folder / name).unlink()
    assert ring.office.export(waits.id, folder).returncode == 0
    assert (folder / "witness-policy").exists()
