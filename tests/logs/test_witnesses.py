"""No witness stops a log, whatever becomes of asking it."""

from __future__ import annotations

from pathlib import Path

from tests.logs.desk import Desk
from tests.support.processes import eventually, stopping
from tests.support.witness import policy, witnessing
from votepyramid.protocol import manifest as manifests
from votepyramid.protocol.cosignature import cosigners
from votepyramid.receipts.adopting import SIGNERS


def test_a_witness_that_cannot_even_be_asked(desk: Desk, tmp_path: Path) -> None:
    """Its address is none, which shows when it is asked: others are a quorum."""
    manifest = desk.election.manifest
    logs = [manifests.signer(manifest, name) for name in SIGNERS.values()]
    with witnessing(tmp_path, "w1", "w2", "w3") as witnesses:
        for one in witnesses:
            one.find = {key.name: key for key in logs}.get
        path = policy(tmp_path, 2, witnesses)
        address = f"http://127.0.0.1:{witnesses[2].server_address[1]}/prefix"
        text = path.read_text()
        path.write_text(text.replace(address, f"https://{'a' * 70}.example/"))
        sequencer = desk.start(tmp_path / "one.log", witness_policy=path)
        with stopping(sequencer):
            receipts = desk.booth.cast("v0")
            assert eventually(lambda: desk.shown() == 1)
            receipts += desk.booth.cast("v1")
            assert eventually(lambda: desk.shown() == 2)
            sequencer.wait_for_log('"problem": "fault"')
            assert sequencer.terminate() == 0, sequencer.log_text()
        keys = {one.key: one.name for one in witnesses}
        assert {keys[key] for key in cosigners(desk.note(), *keys)} == {"w1", "w2"}
    said = sequencer.log_text()
    assert '"error": "UnicodeError"' in said
    assert "Traceback" not in said and "sequencing_interrupted" not in said
    desk.whole(*receipts)
