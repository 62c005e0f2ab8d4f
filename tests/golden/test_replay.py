"""Histories of real runs, replayed: a workflow that would go another way fails here.

They stand for the groups that are under way when the code is replaced in the middle
of an election. `record.py` says how they are made, and when they may be made anew.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowHistory
from temporalio.converter import DataConverter
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from tests.golden.record import HERE, NAMESPACE, RING, ring
from tests.support.histories import messages
from votepyramid.engine.codec import data_converter
from votepyramid.engine.worker import CLAIM_WORKFLOWS, VOTE_WORKFLOWS
from workflows import claim_tokens, submit_votes
from workflows import messages as m

WORKFLOWS = [*VOTE_WORKFLOWS, *CLAIM_WORKFLOWS]
FILES = sorted(path for path in HERE.glob("*.json") if path != RING)
RUNNERS = {"sandboxed": SandboxedWorkflowRunner, "plain": UnsandboxedWorkflowRunner}


@pytest.fixture(scope="module")
def converter(tmp_path_factory: pytest.TempPathFactory) -> DataConverter:
    return data_converter(str(ring(tmp_path_factory.mktemp("golden"))))


def _load(path: Path) -> WorkflowHistory:
    document = json.loads(path.read_text())
    return WorkflowHistory.from_json(document["id"], document["history"])


def _replay(
    path: Path,
    converter: DataConverter,
    runner: WorkflowRunner,
    workflows: Sequence[type] = WORKFLOWS,
) -> Exception | None:
    """None when the history replays, else what is wrong."""
    replayer = Replayer(
        workflows=workflows,
        namespace=NAMESPACE,
        data_converter=converter,
        workflow_runner=runner,
    )
    history = _load(path)
    result = asyncio.run(
        replayer.replay_workflow(history, raise_on_replay_failure=False)
    )
    return result.replay_failure


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recorded_history_replays(
    path: Path, runner: str, converter: DataConverter
) -> None:
    assert _replay(path, converter, RUNNERS[runner]()) is None


def test_every_workflow_has_a_history() -> None:
    types = {
        event.workflow_execution_started_event_attributes.workflow_type.name
        for path in FILES
        for event in _load(path).events[:1]
    }
    assert types == {m.SUBMIT_VOTES, m.SUBMIT_VOTE, m.CLAIM_TOKENS, m.CLAIM_TOKEN}


@pytest.mark.parametrize(
    "name, codes",
    {
        "submit_votes.accepted": [None, None, None],
        "submit_votes.mixed": [None, "ballot_copied", "style_mismatch", "token_used"],
        "submit_votes.patient": [None, None],
        "submit_votes.isolated": [None, "isolated"],
        "submit_vote": [None],
        "claim_tokens.mixed": [None, "not_eligible", "not_eligible"],
        "claim_tokens.isolated": ["isolated"],
        "claim_token": [None],
    }.items(),
)
def test_a_history_is_what_its_name_says(
    name: str, codes: list[str | None], converter: DataConverter
) -> None:
    history = _load(HERE / f"{name}.json")
    last = history.events[-1].workflow_execution_completed_event_attributes
    (payload,) = last.result.payloads
    outcome: Any = json.loads(_open(payload, converter).data)
    found = [
        one["code"] for one in (outcome if isinstance(outcome, list) else [outcome])
    ]
    assert Counter(found) == Counter(codes)
    scheduled = {
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in history.events
    } - {""}
    assert bool(scheduled) == (
        name.split(".")[-1] in {"patient", "submit_vote", "claim_token"}
    )


def _open(payload: Payload, converter: DataConverter) -> Payload:
    codec = converter.payload_codec
    assert codec is not None
    (opened,) = asyncio.run(codec.decode([payload]))
    return opened


class TestAChangeShows:
    """What a change would do to an election that is under way."""

    async def _encrypt_first(self, group: Any, step: Any) -> Any:
        await step(
            m.ENCRYPT_BALLOTS,
            submit_votes._to_encrypt(group, group.votes),
            list[m.EncryptedBallot],
        )
        return await self.decide(group, step)

    async def _without_check(self, group: Any, step: Any) -> Any:
        async def skipping(name: str, argument: Any, kind: Any) -> Any:
            if name == m.CHECK_CLAIMS:
                return [m.ClaimVerdict(c.key, None, None, 1) for c in group.claims]
            return await step(name, argument, kind)

        return await self.decide(group, skipping)

    @pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
    def test_steps_in_another_order(
        self, path: Path, converter: DataConverter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        votes = path.stem.startswith("submit")
        module = submit_votes if votes else claim_tokens
        self.decide = module.decide
        changed = self._encrypt_first if votes else self._without_check
        monkeypatch.setattr(module, "decide", changed)
        failure = _replay(path, converter, UnsandboxedWorkflowRunner())
        # Out of step, or given the result of another step.
        assert failure is not None

    def test_a_renamed_step(
        self, converter: DataConverter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(m, "RECORD_VOTES", "store_votes")
        failure = _replay(
            HERE / "submit_votes.accepted.json", converter, UnsandboxedWorkflowRunner()
        )
        assert failure is not None and "Nondeterminism" in str(failure)


def test_nothing_in_the_files_is_open(converter: DataConverter) -> None:
    for path in FILES:
        for event in _load(path).events:
            for payload in messages(event, Payload):
                if payload.metadata["encoding"] == b"json/plain":
                    # Search attributes, and the core's own notes of a step.
                    assert payload.data in (b"true", b"false") or (
                        b"golden-" in payload.data or b"activity_type" in payload.data
                    )
                else:
                    assert _open(payload, converter).data
