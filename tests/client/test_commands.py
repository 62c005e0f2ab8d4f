"""`votepyramid vote` and `votepyramid verify` as a voter runs them."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.client import scripted
from tests.client.scripted import JWT, BallotBox, ScriptedServer
from votepyramid.cli import main
from votepyramid.client import files
from votepyramid.protocol.ballot import open_ballot
from votepyramid.protocol.identifiers import token_tag
from votepyramid.protocol.manifest import dump_signed

CHOICES = '{"mayor": ["c3", "c2"]}'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VOTEPYRAMID_JWT", JWT)
    yield tmp_path


def _vote(
    server: ScriptedServer, box: BallotBox, *more: str, stdin: str = CHOICES
) -> Result:
    given = ["--url", server.url, "--election", "demo", "--authority", box.vkey]
    if "ask" not in more:
        given += ["--choices", "-"]
    told = [text for text in more if text != "ask"]
    return CliRunner().invoke(main, ["vote", *given, *told], input=stdin)


def _verify(*given: str) -> Result:
    return CliRunner().invoke(main, ["verify", *given])


def _opened(box: BallotBox, content: files.BallotFile) -> Any:
    tag = token_tag("demo", box.m, content.ballot.bearer)
    return open_ballot(
        box.keys.private, box.manifest, "north", tag, content.ballot.payload
    )


def test_vote_and_verify(folder: Path, server: ScriptedServer, box: BallotBox) -> None:
    done = _vote(server, box)
    assert done.exit_code == 0, done.output
    saved = files.load(folder / "receipt.json")
    assert saved.ballot.receipt_hash in done.stdout
    assert saved.answer == box.answers[saved.ballot.receipt_hash]
    assert _opened(box, saved) == {"mayor": [["c3"], ["c2"]]}
    checked = _verify("receipt.json", "--authority", box.vkey)
    assert checked.exit_code == 0
    assert [line.split()[0] for line in checked.stdout.splitlines()[:-2]] == ["ok"] * 11


def test_the_file_is_the_voters_alone(
    folder: Path, server: ScriptedServer, box: BallotBox
) -> None:
    before = os.umask(0)
    try:
        assert _vote(server, box).exit_code == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "receipt.json").stat().st_mode) == 0o600
    assert os.listdir(folder) == ["receipt.json"]


def test_choices_are_never_on_disk(
    folder: Path, server: ScriptedServer, box: BallotBox
) -> None:
    """Two files differ only in what sealing made of them, at the same length."""
    for name, choices in (("a", CHOICES), ("b", '{"mayor": [[], []]}')):
        assert _vote(server, box, "--out", name, stdin=choices).exit_code == 0
    texts = [(folder / name).read_text() for name in "ab"]
    documents = [json.loads(text) for text in texts]
    differing = {key for key in documents[0] if documents[0][key] != documents[1][key]}
    assert differing == {"payload", "receipt_hash", "answer"}
    assert len(texts[0]) == len(texts[1])


def test_the_ballot_is_saved_before_it_is_sent(
    folder: Path, server: ScriptedServer, box: BallotBox
) -> None:
    found = []

    def look(handler: scripted.Handler) -> None:
        found.append(files.load(folder / "receipt.json"))
        box.serve(handler)

    server.script = [box.serve, box.serve, look]
    assert _vote(server, box).exit_code == 0
    (before,) = found
    assert before.answer is None
    assert json.loads(server.requests("/vote/")[0].body) == before.ballot.body()


def test_a_killed_client_goes_on_with_the_same_bytes(
    folder: Path, server: ScriptedServer, box: BallotBox
) -> None:
    """kill -9 after the vote was recorded and before its answer arrived."""

    def record_and_kill(handler: scripted.Handler) -> None:
        box.record(handler.body)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        scripted.drop(handler)

    server.script = [box.serve, box.serve, record_and_kill]
    (folder / "choices.json").write_text(CHOICES)
    command = [sys.executable, "-c", "from votepyramid.cli import main; main()", "vote"]
    command += ["--url", server.url, "--election", "demo", "--authority", box.vkey]
    child = subprocess.Popen([*command, "--choices", "choices.json"])
    assert child.wait(30) == -signal.SIGKILL
    again = _vote(server, box, stdin='{"mayor": ["c1"]}')
    assert again.exit_code == 0, again.output
    assert "sending the same bytes again" in again.stderr
    first, second = server.requests("/vote/")
    assert first.body == second.body
    assert len(server.requests("/claim/")) == 1
    assert _opened(box, files.load(folder / "receipt.json")) == {
        "mayor": [["c3"], ["c2"]]
    }


def test_once_recorded_nothing_is_sent_again(
    folder: Path, server: ScriptedServer, box: BallotBox
) -> None:
    first = _vote(server, box, "--json")
    sent = len(server.seen)
    second = _vote(server, box, "--json")
    assert (second.exit_code, second.stdout) == (0, first.stdout)
    assert len(server.seen) == sent
    assert json.loads(first.stdout)["file"] == "receipt.json"


def test_an_unreachable_server_leaves_the_ballot_to_send(
    folder: Path, server: ScriptedServer, box: BallotBox
) -> None:
    server.script = [box.serve, box.serve]
    server.otherwise = scripted.problem(503, "unavailable")
    failed = _vote(server, box, "--patience", "1", "--json")
    assert failed.exit_code == 1
    told = json.loads(failed.stdout)
    assert told["error"] == "ElectionUnreachable"
    assert "Run the same command again" in told["advice"]
    assert "About unavailable" in failed.stderr
    server.otherwise = box.serve
    # Neither credential nor pin nor address is needed: the file holds them.
    again = CliRunner().invoke(main, ["vote"], env={"VOTEPYRAMID_JWT": ""})
    assert again.exit_code == 0, again.output


def test_a_disputed_answer_is_kept_as_evidence(
    folder: Path, server: ScriptedServer, box: BallotBox
) -> None:
    server.script = [box.serve, box.serve, scripted.plain(200, b"trust me")]
    failed = _vote(server, box)
    assert failed.exit_code == 1
    assert "the receipt does not hold (answer)" in failed.stderr
    assert files.load(folder / "receipt.json").disputed == b"trust me"
    assert _vote(server, box).exit_code == 0


def test_a_refusal_is_told_with_its_code(
    folder: Path, server: ScriptedServer, box: BallotBox
) -> None:
    server.script = [box.serve, scripted.problem(403, "not_eligible")]
    failed = _vote(server, box, "--json")
    told = json.loads(failed.stdout)
    assert failed.exit_code == 1
    assert (told["error"], told["code"]) == ("ClaimRefused", "not_eligible")
    assert told["reason"] == "wrong_precinct"
    assert not (folder / "receipt.json").exists()


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("election_not_open", "same command again once the election is open"),
        ("election_closed", "was not recorded in time"),
        ("token_used", "tell the election office"),
        ("ballot_copied", "name another file with --out"),
    ],
)
def test_a_refused_ballot_says_what_can_be_done(
    folder: Path, server: ScriptedServer, box: BallotBox, code: str, advice: str
) -> None:
    server.script = [box.serve, box.serve, scripted.problem(403, code)]
    failed = _vote(server, box)
    assert failed.exit_code == 1
    assert f"About {code}" in failed.stderr
    assert advice in failed.stderr
    assert files.load(folder / "receipt.json").answer is None


def test_choices_can_be_asked_for(
    folder: Path, server: ScriptedServer, box: BallotBox
) -> None:
    done = _vote(server, box, "ask", stdin="7\n2\n0\ny\n")
    assert done.exit_code == 0, done.output
    assert "李小龍" in done.stderr
    assert "Mayor, choice 2: (empty)" in done.stderr
    saved = files.load(folder / "receipt.json")
    assert _opened(box, saved) == {"mayor": [["c2"], []]}


def test_a_voter_who_says_no_casts_nothing(
    folder: Path, server: ScriptedServer, box: BallotBox
) -> None:
    done = _vote(server, box, "ask", stdin="1\n2\nn\n")
    assert done.exit_code == 1
    assert server.requests("/vote/") == []
    assert os.listdir(folder) == []


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ("{", "not a JSON text"),
        ("[]", "not a JSON object"),
        ("{}", "mayor: the contest is missing"),
        ('{"mayor": "c1"}', "not a list of ranks"),
        ('{"mayor": ["c1"], "x": []}', "not on the ballot style"),
        ('{"mayor": ["c1", "c2", "c3"]}', "not a list of 2 ranks"),
        ('{"mayor": [7]}', "a rank is not a list"),
        ('{"mayor": [["c2", "c1"]]}', "not in manifest order"),
    ],
)
def test_wrong_choices_are_refused(
    folder: Path, server: ScriptedServer, box: BallotBox, choices: str, said: str
) -> None:
    failed = _vote(server, box, stdin=choices)
    assert failed.exit_code == 1
    assert said in failed.stderr
    assert os.listdir(folder) == []


def test_what_is_missing_is_named(folder: Path, server: ScriptedServer) -> None:
    runner = CliRunner(env={"VOTEPYRAMID_JWT": ""})
    address = ["--url", server.url, "--election", "demo"]
    assert "--url and --election" in runner.invoke(main, ["vote"]).stderr
    assert "--authority" in runner.invoke(main, ["vote", *address]).stderr


def test_a_missing_credential(
    folder: Path,
    server: ScriptedServer,
    box: BallotBox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VOTEPYRAMID_JWT", "")
    failed = _vote(server, box)
    assert "--jwt-file" in failed.stderr
    assert server.requests("/claim/") == []


def test_the_credential_from_a_file(
    folder: Path,
    server: ScriptedServer,
    box: BallotBox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VOTEPYRAMID_JWT", "x")
    (folder / "jwt").write_text(JWT + "\n")
    assert _vote(server, box, "--jwt-file", "jwt").exit_code == 0


def _changed(folder: Path, **changes: Any) -> None:
    path = folder / "receipt.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _failing_check(result: Result) -> str:
    assert result.exit_code == 1
    (line,) = [x for x in result.stdout.splitlines() if x.startswith("FAILED")]
    return line.split()[1].rstrip(":")


def test_verify_names_the_first_check_that_fails(
    folder: Path, server: ScriptedServer, box: BallotBox
) -> None:
    _vote(server, box)
    answer = json.loads((folder / "receipt.json").read_text())["answer"]
    signature = answer.index("\\n\\n") + 30
    swapped = answer[:signature] + ("A" if answer[signature] != "A" else "B")
    cases = [
        ("file", {"payload": "AAAA"}),
        ("file", {"token": "11111111-2222-8333-8444-555555555555"}),
        ("file", {"format": "votepyramid-ballot/v2"}),
        ("file", {"more": 1}),
        ("authority", {"signed_manifest": {}}),
        ("answer", {"answer": None}),
        ("answer", {"answer": answer + " "}),
        ("signature", {"answer": swapped + answer[signature + 1 :]}),
    ]
    original = (folder / "receipt.json").read_text()
    for check, changes in cases:
        _changed(folder, **changes)
        assert _failing_check(_verify("receipt.json")) == check, changes
        (folder / "receipt.json").write_text(original)
    assert _verify("receipt.json").exit_code == 0


def test_verify_against_what_was_published(
    folder: Path, server: ScriptedServer, box: BallotBox
) -> None:
    _vote(server, box)
    (folder / "signed.json").write_bytes(dump_signed(box.signed))
    published = ["--manifest", "signed.json", "--authority", box.vkey]
    assert _verify("receipt.json", *published).exit_code == 0
    other = BallotBox()
    stranger = _verify("receipt.json", "--authority", other.vkey)
    assert _failing_check(stranger) == "authority"
    (folder / "signed.json").write_bytes(dump_signed(other.signed))
    rewritten = _verify("receipt.json", "--manifest", "signed.json", "--json")
    assert rewritten.exit_code == 1
    assert json.loads(rewritten.stdout)["failed"]["check"] == "authority"


def test_verify_without_the_files(folder: Path) -> None:
    assert _failing_check(_verify("nothing.json")) == "file"
    (folder / "x").write_text("{}")
    failed = _verify("x", "--manifest", "nothing.json")
    assert failed.exit_code == 1
    assert "cannot read nothing.json" in failed.stderr


def test_a_ballot_is_never_overwritten(
    folder: Path, server: ScriptedServer, box: BallotBox
) -> None:
    _vote(server, box)
    with pytest.raises(files.BallotFileError, match="is there already"):
        files.create(folder / "receipt.json", files.load(folder / "receipt.json"))
    (folder / "notes.txt").write_text("mine")
    assert _vote(server, box, "--out", "notes.txt").exit_code == 1
    assert (folder / "notes.txt").read_text() == "mine"


def test_no_place_to_save_is_told_before_claiming(
    folder: Path, server: ScriptedServer, box: BallotBox
) -> None:
    failed = _vote(server, box, "--out", "missing/receipt.json")
    assert "cannot write in missing" in failed.stderr
    assert server.seen == []
