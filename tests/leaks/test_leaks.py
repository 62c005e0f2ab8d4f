"""Secrets and links in all that leaves the engine's memory.

One engine replays an election, goes through every kind of refusal and through faults of
each of its parts. Then everything that Temporal, the logs, the metrics and the database
hold is read, sealed and opened.
"""

from __future__ import annotations

import json

import pytest

from tests.leaks.refusing import codes
from tests.leaks.scene import GOOD, REPLAYED, VOTERS, Scene
from tests.support import histories
from tests.support.elections import CHOICES
from tests.support.scanning import spellings, things, where
from tests.support.voting import OTHER_SELECTIONS, SELECTIONS
from votepyramid.errors import Code
from votepyramid.protocol.identifiers import token_id

pytestmark = pytest.mark.timeout(400)

# The head of every sign-in token, of a plaintext, and of the replay's voters.
JWT_HEAD, PLAINTEXT, REPLAY_VOTER = "eyJhbGciOiJFZERTQSIs", '{"contest":[[', "voter-000"


def test_the_scene_is_worth_looking_at(scene: Scene) -> None:
    assert codes(scene.answers) - {"accepted"} == {str(code) for code in Code}
    assert scene.election.count("SELECT count(*) FROM vote_submissions") > REPLAYED + 15
    kinds = {one.workflow_type for one in histories.executions(scene.console)}
    votes = {"claim_tokens", "submit_votes", "submit_vote"}
    others = {"archive_histories", "close_election", "rewrap_keys"}
    assert kinds == votes | others | {"export_election", "remove_export"}
    for program, said in (
        (
            scene.sequencer,
            {"sequencing", "sequencing_interrupted", "log_stopped", "quorum_missed"},
        ),
        (scene.codec_server, {"payloads_decoded", "codec_refused"}),
        (scene.admin, {"person_signed_in", "person_locked_out", "sign_in_refused"}),
    ):
        lines = [json.loads(line) for line in program.log_text().splitlines()]
        assert said <= {line.get("event") for line in lines}, program.name
        assert program.alive()
    assert len(scene.pages) > 30
    assert len([web for web in scene.engine.webs if not web.alive()]) >= 2
    # The search finds what is there: opened, not raw; and in the right kind of work.
    ballot = scene.ballots[0]
    d = token_id(scene.election.id, scene.election.m, ballot.bearer)
    texts = list(scene.texts())
    found = where(d, texts)
    assert found and all(name.endswith("opened") for name in found)
    assert where(ballot.sealed.t, texts) >= found
    ref = scene.election.count("SELECT ref FROM voters WHERE voter_id = %s", GOOD[0])
    assert any(name.startswith("claims/") for name in where(ref, texts))
    assert where(d, scene.columns()) == {"vote_tokens.token"}


def test_no_secret_in_histories_logs_and_metrics(scene: Scene) -> None:
    texts = list(scene.texts())
    names = {name for name, _ in texts}
    assert {"log of worker-keyless", "log of web-keyless", "metrics"} <= names
    assert {"log of sequencer", "log of codec-server", "log of admin"} <= names
    assert {"log of closing", "log of keys", "log of exporting"} <= names
    assert {"metrics of admin", "page /audit", "page /audit/exports"} <= names
    assert {"log leaks-postgres.log", "log leaks-temporal.log"} <= names
    bearers = scene.bearers()
    assert len(bearers) > len(GOOD) + REPLAYED
    assert {ballot.bearer for ballot in scene.ballots} <= set(bearers)
    for bearer in bearers:
        assert where(bearer, texts) == set()
    for secret in (*VOTERS, *CHOICES, JWT_HEAD, PLAINTEXT, REPLAY_VOTER):
        assert where(secret, texts) == set(), secret
    for jwt in scene.jwts:
        for part in jwt.split(".")[1:]:
            assert where(part, texts) == set()
    for selections in (SELECTIONS, OTHER_SELECTIONS):
        assert where(str(selections), texts) == set()


def test_the_database_holds_names_and_choices_where_they_belong(scene: Scene) -> None:
    columns = list(scene.columns())
    for bearer in scene.bearers():
        assert where(bearer, columns) == set()
    for voter in (*GOOD, REPLAY_VOTER):
        assert where(voter, columns) == {"voters.voter_id"}
    assert where(VOTERS[-1], columns) == set()
    for choice in CHOICES:
        assert where(choice, columns) == {"elections.signed_manifest"}
    for jwt in scene.jwts:
        assert where(jwt.split(".")[2], columns) == set()
    for secret in (JWT_HEAD, PLAINTEXT):
        assert where(secret, columns) == set()


def test_no_secret_of_those_who_run_elections(scene: Scene) -> None:
    texts = [*scene.texts(), *scene.columns()]
    assert where("staff-ada", texts) >= {"audit_events.subject", "page /people"}
    assert len(scene.staff_secrets) == 4
    for secret in scene.staff_secrets:
        assert where(secret, texts) == set()


def test_what_is_done_to_elections_names_no_vote_token_or_voter(scene: Scene) -> None:
    kinds = ("close", "rewrap", "export")
    texts = [one for kind in kinds for one in scene.workflow_texts(kind)]
    assert where("kek-anew", texts) and where("finished", texts)
    assert any(name.startswith("remove-export/") for name, _ in texts)
    with scene.election.sql() as db:
        for query in (
            "SELECT ref FROM voters",
            "SELECT token FROM vote_tokens",
            "SELECT tag FROM vote_submissions",
            "SELECT receipt_hash FROM vote_submissions",
            "SELECT wrapped FROM wrapped_keys",
        ):
            for (name,) in db.execute(query).fetchall():
                assert where(name, texts) == set(), query


def test_no_answer_repeats_a_secret(scene: Scene) -> None:
    for answer in scene.answers:
        if answer.status_code >= 400:
            text = answer.text + str(answer.headers)
            for ballot in scene.ballots:
                assert not any(one in text for one in spellings(ballot.bearer))
            for secret in (*VOTERS, *scene.jwts):
                assert secret not in text


def test_no_identifier_occurs_in_a_claim_and_in_a_cast(scene: Scene) -> None:
    claims = things(scene.workflow_texts("claim"))
    casts = things(scene.workflow_texts("vote"))
    assert len(claims) > 500 and len(casts) > 500
    with scene.election.sql() as db:
        elections = [row[0] for row in db.execute("SELECT id FROM elections")]
    programs = (*scene.engine.webs, *scene.engine.workers)
    known = histories.of_both(
        scene.console, scene.engine.env, elections, scene.election.m, *programs
    )
    assert histories.unexplained(claims, casts, known) == set()


def test_every_payload_is_sealed(scene: Scene) -> None:
    found = histories.executions(scene.console)
    sealed = [
        payload
        for one in found
        for payload in histories.messages(
            histories.history(scene.console, one), histories.Payload
        )
        if histories.is_sealed(payload)
    ]
    assert len(sealed) > 200
    for one in found:
        assert histories.unsealed(scene.console, one) == []


def test_failures_say_nothing(scene: Scene) -> None:
    (stuck,) = scene.console.needing_attention()
    described = scene.console.describe(stuck)
    (failure,) = histories.failures(described)
    assert failure.message == "Encoded failure"
    assert failure.stack_trace == ""
    assert histories.is_sealed(failure.encoded_attributes)
    assert not failure.HasField("cause")
    opened = histories.opened_text(scene.console, described)
    assert "database: RaiseException (P0001)" in opened
    assert "refused:" not in opened


def test_search_attributes_and_memo_hold_no_data(scene: Scene) -> None:
    for one in histories.executions(scene.console):
        names = histories.attribute_names(scene.console, one)
        assert names <= histories.PLAIN_ATTRIBUTES, names
