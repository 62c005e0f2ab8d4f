"""An event and what it describes are one transaction: both are there, or neither."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError
from temporalio.exceptions import ApplicationError

from tests.audit.acts import DRIVEN, ELSEWHERE
from tests.audit.acts_on_people import PEOPLE
from tests.audit.stage import Base, Stage
from tests.audit.stage import base as make_base
from tests.support.faults import events_refused, failing_at_commit
from votepyramid.audit.kind import BY, Cause
from votepyramid.audit.kinds import KINDS
from votepyramid.audit.kinds_of_people import PERSON
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.postgres import EmbeddedPostgres

ALL = {**DRIVEN, **PEOPLE}
# A step says of a fault only its kind.
FAILED = (DBAPIError, ApplicationError)


@pytest.fixture(scope="module")
def base(
    postgres: EmbeddedPostgres,
    template: str,
    temporal: DevServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Base]:
    with make_base(postgres, template, temporal, tmp_path_factory.mktemp("b")) as made:
        yield made


@pytest.fixture
def stage(base: Base, tmp_path: Path) -> Iterator[Stage]:
    with base.copied(tmp_path) as made:
        yield made


def test_every_kind_is_driven_or_says_why_not() -> None:
    assert {*ALL, *ELSEWHERE} == set(KINDS)
    assert not set(ALL) & set(ELSEWHERE)


@pytest.mark.parametrize("kind", ALL)
def test_an_act_and_its_event_are_one_transaction(stage: Stage, kind: str) -> None:
    driven = ALL[kind]
    act = driven.arrange(stage)
    before, told = stage.tables(), stage.events(kind)
    # The event cannot be written; or the act fails once it is.
    url = stage.database.owner_url
    for failing in (events_refused(url, kind), failing_at_commit(url, driven.table)):
        with failing, pytest.raises(FAILED):
            act()
        after = stage.tables()
        changed = {name for name in after if after[name] != before[name]}
        assert changed <= driven.before
    act()
    assert len(stage.events(kind)) > len(told)
    assert stage.tables()[driven.table] != before[driven.table]


@pytest.mark.parametrize("kind", PEOPLE)
def test_an_act_on_a_person_is_told_to_every_election_that_is_not_over(
    stage: Stage, kind: str
) -> None:
    stage.another()
    act = PEOPLE[kind].arrange(stage)
    told = len(stage.events(kind))
    act()
    found = stage.events(kind)[told:]
    assert [row.election for row in found] == ["demo", "other"]
    assert {row.subject for row in found} <= {"bea", None}
    assert (found[0].subject is None) == (KINDS[kind].subject != PERSON)
    (detail,) = {tuple(sorted(row.detail.items())) for row in found}
    assert set(dict(detail)) == KINDS[kind].members
    acts = KINDS[kind].cause is Cause.OPERATOR
    assert (dict(detail).get(BY) in ("ada", "bea")) == acts


def test_an_election_that_is_over_is_told_nothing_of_people(stage: Stage) -> None:
    other = stage.another()
    stage.election.close()
    stage.add("bea")
    stage.election.pass_grace()
    stage.election.finish(stage.sequence)
    stage.add("cleo")
    told = {(row.subject, row.election) for row in stage.events("person_set_up")}
    assert told == {("bea", "demo"), ("bea", other.id), ("cleo", other.id)}
