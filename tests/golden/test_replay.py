"""Histories of real runs, replayed: a workflow that would go another way fails here.

They stand for the groups that are under way when the code is replaced in the middle
of an election. `record.py` says how they are made, and when they may be made anew.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.converter import DataConverter
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from tests.golden.record import HERE, NAMESPACE, RING, ring
from votepyramid.auditors import told
from votepyramid.engine import histories, replaying
from votepyramid.engine.codec import data_converter
from votepyramid.engine.histories import Execution, messages
from votepyramid.engine.worker import (
    CLAIM_WORKFLOWS,
    CLOSING_WORKFLOWS,
    EXPORT_WORKFLOWS,
    KEY_WORKFLOWS,
    VOTE_WORKFLOWS,
)
from workflows import (
    claim_tokens,
    close_election,
    export_election,
    rewrap_keys,
    submit_votes,
)
from workflows import messages as m
from workflows.attributes import ATTENTION

WORKFLOWS = [
    *VOTE_WORKFLOWS,
    *CLAIM_WORKFLOWS,
    *KEY_WORKFLOWS,
    *CLOSING_WORKFLOWS,
    *EXPORT_WORKFLOWS,
]
FILES = sorted(path for path in HERE.glob("*.json") if path != RING)
GROUPS = [path for path in FILES if path.stem.startswith(("submit", "claim"))]
# What no auditor gets: a closing that told its patience by the clock, before closings
# added their pauses up; and exports, which copy what there is.
_KEPT = ("close_election.by_the_clock", "export_election", "remove_export")
COARSE = [path for path in FILES if not path.stem.startswith(_KEPT)]
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


@pytest.mark.parametrize("path", COARSE, ids=lambda path: path.stem)
def test_it_replays_as_an_auditor_gets_it(path: Path, converter: DataConverter) -> None:
    """Open, and without its times."""
    loaded = _load(path)
    history = History(events=loaded.events)
    histories.coarsen(history)
    codec = converter.payload_codec
    assert codec is not None
    asyncio.run(histories.reveal(history, codec))
    run = Execution(loaded.workflow_id, "run", closed=True)
    document = json.loads(histories.document(run, history))
    assert replaying.replay([document]) == {}
    payloads = "".join(p.data.decode() for p in messages(history, Payload))
    (election,) = {*re.findall(r'"(golden-\d+)"', payloads)} or {"any"}
    assert told.read(document, election)[0] == run


@pytest.mark.parametrize("path", COARSE, ids=lambda path: path.stem)
def test_one_that_passes_an_hour_does_not_show_it(
    path: Path, converter: DataConverter
) -> None:
    """It began in the last second of one: two hours would say so."""
    loaded, codec = _load(path), converter.payload_codec
    assert codec is not None
    history, begin = History(events=loaded.events), 500_000 * histories.HOUR
    for number, event in enumerate(history.events, histories.HOUR - 1):
        event.event_time.FromSeconds(begin + number)
    histories.coarsen(history)
    kept = history.SerializeToString(deterministic=True)
    histories.coarsen(history)
    assert history.SerializeToString(deterministic=True) == kept
    asyncio.run(histories.reveal(history, codec))
    document = histories.document(Execution("w", "run", closed=True), history).decode()
    text = document + "".join(p.data.decode() for p in messages(history, Payload))
    shown = set(re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*", text))
    assert "2027-01-15T08:00:00" in shown
    if path in GROUPS:
        assert len(shown) == 1 and "arrived_at" in text
    # The announced time of a closing is not its own.
    assert {time[13:] for time in shown} == {":00:00"}
    assert set(re.findall(r'_time":{"seconds":(\d+)', text)) <= {str(begin)}
    assert replaying.replay([json.loads(document)]) == {}


def test_every_workflow_has_a_history() -> None:
    types = {
        event.workflow_execution_started_event_attributes.workflow_type.name
        for path in FILES
        for event in _load(path).events[:1]
    }
    assert types == {
        m.SUBMIT_VOTES,
        m.SUBMIT_VOTE,
        m.CLAIM_TOKENS,
        m.CLAIM_TOKEN,
        m.REWRAP_KEYS,
        m.CLOSE_ELECTION,
        m.EXPORT_ELECTION,
        m.REMOVE_EXPORT,
    }


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

    @pytest.mark.parametrize("path", GROUPS, ids=lambda path: path.stem)
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

    @pytest.mark.parametrize("name", ["", ".continued", ".patient"])
    def test_a_renamed_batch(
        self, name: str, converter: DataConverter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(m, "REWRAP_BATCH", "rewrap")
        path = HERE / f"rewrap_keys{name}.json"
        failure = _replay(path, converter, UnsandboxedWorkflowRunner())
        assert failure is not None and "Nondeterminism" in str(failure)

    def test_a_rewrapping_that_is_not_flagged(
        self, converter: DataConverter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def at_once(asked: m.RewrapBatchInput) -> m.RewrapBatch:
            return await rewrap_keys._activity(asked, rewrap_keys.PATIENT_RETRIES)

        monkeypatch.setattr(rewrap_keys, "_batch", at_once)
        path = HERE / "rewrap_keys.patient.json"
        failure = _replay(path, converter, UnsandboxedWorkflowRunner())
        assert failure is not None

    @pytest.mark.parametrize(
        "name", ["", ".continued", ".called_off", ".patient", ".by_the_clock"]
    )
    def test_a_renamed_step_of_a_closing(
        self, name: str, converter: DataConverter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(m, "CLOSE_WHEN_DUE", "close_now")
        path = HERE / f"close_election{name}.json"
        failure = _replay(path, converter, UnsandboxedWorkflowRunner())
        assert failure is not None and "Nondeterminism" in str(failure)

    @pytest.mark.parametrize("name", ["", ".patient"])
    def test_a_closing_that_is_not_flagged(
        self, name: str, converter: DataConverter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def tell(
            self: close_election.CloseElection, state: m.ClosingState, **_: bool
        ) -> None:
            self._state = state

        monkeypatch.setattr(close_election.CloseElection, "_tell", tell)
        path = HERE / f"close_election{name}.json"
        assert _replay(path, converter, UnsandboxedWorkflowRunner()) is not None

    @pytest.mark.parametrize(
        "name", ["export_election", "export_election.patient", "remove_export"]
    )
    def test_a_renamed_step_of_an_export(
        self, name: str, converter: DataConverter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(m, "WRITE_EXPORT", "export")
        monkeypatch.setattr(m, "REMOVE_FILES", "remove")
        failure = _replay(HERE / f"{name}.json", converter, UnsandboxedWorkflowRunner())
        assert failure is not None and "Nondeterminism" in str(failure)

    def test_an_export_that_is_not_flagged(
        self, converter: DataConverter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def at_once(name: str, argument: str, _tries: int) -> str:
            retries = export_election.PATIENT_RETRIES
            return await export_election._step(name, argument, retries)

        monkeypatch.setattr(export_election, "_done", at_once)
        path = HERE / "export_election.patient.json"
        assert _replay(path, converter, UnsandboxedWorkflowRunner()) is not None


def test_an_export_is_what_its_name_says(converter: DataConverter) -> None:
    for name, looks, flags in (("", 2, 0), (".patient", 2, 2)):
        events = _load(HERE / f"export_election{name}.json").events
        last = events[-1].workflow_execution_completed_event_attributes
        done = json.loads(_open(last.result.payloads[0], converter).data)
        assert re.fullmatch("[0-9a-f-]{36}", done)
        steps = [
            e for e in events if e.HasField("activity_task_scheduled_event_attributes")
        ]
        assert (len(steps), sum(map(_flags, events))) == (looks, flags)


def test_a_closing_is_what_its_name_says(converter: DataConverter) -> None:
    histories_ = {
        name: _load(HERE / f"close_election{name}.json").events
        for name in ("", ".continued", ".called_off", ".patient")
    }
    new = histories_.pop(".continued")[-1]
    given = new.workflow_execution_continued_as_new_event_attributes.input.payloads[0]
    assert json.loads(_open(given, converter).data)["so_far"]["phase"] == m.ANNOUNCED
    ends = {
        name: events[-1].workflow_execution_completed_event_attributes.result
        for name, events in histories_.items()
    }
    assert {
        name: json.loads(_open(end.payloads[0], converter).data)["phase"]
        for name, end in ends.items()
    } == {"": m.FINISHED, ".called_off": m.NOT_ASKED, ".patient": m.FINISHED}
    flagged = {name: sum(map(_flags, events)) for name, events in histories_.items()}
    # Up and down for each time that it waited too long, or that a step failed.
    assert flagged == {"": 2, ".called_off": 0, ".patient": 4}


def _flags(event: HistoryEvent) -> bool:
    upserted = event.upsert_workflow_search_attributes_event_attributes
    return ATTENTION.name in upserted.search_attributes.indexed_fields


def test_a_rewrapping_is_what_its_name_says(converter: DataConverter) -> None:
    ends = {
        name: _load(HERE / f"rewrap_keys{name}.json").events[-1]
        for name in ("", ".continued", ".patient")
    }
    continued = ends[".continued"]
    new = continued.workflow_execution_continued_as_new_event_attributes
    again = json.loads(_open(new.input.payloads[0], converter).data)
    assert again["so_far"]["rewrapped"] == 4 and again["so_far"]["left"] == 1
    for name in ("", ".patient"):
        last = ends[name].workflow_execution_completed_event_attributes
        done = json.loads(_open(last.result.payloads[0], converter).data)
        assert (done["rewrapped"], done["left"]) == (5, 0)


def test_nothing_in_the_files_is_open(converter: DataConverter) -> None:
    for path in FILES:
        for event in _load(path).events:
            for payload in messages(event, Payload):
                if payload.metadata["encoding"] == b"json/plain":
                    # Search attributes, and the core's own notes of a step or a
                    # change of ours.
                    known = b"golden-", b"activity_type", b"patience by pauses"
                    assert payload.data in (b"true", b"false") or (
                        any(one in payload.data for one in known)
                    )
                else:
                    assert _open(payload, converter).data
