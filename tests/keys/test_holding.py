"""Keys held while the KMS is slow, away, or says that they are gone."""

from __future__ import annotations

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from tests.keys.memory import held_bytes, remembers
from tests.support.processes import eventually
from votepyramid.keys.bounded import Bounded
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.models import WrappedKey
from votepyramid.keys.provider import KeyProviderError
from votepyramid.keys.service import ElectionKeys, KeyMissing

ISSUANCE = b"i" * 32


class Line:
    """A key file at the end of a line that can be cut, or be made to wait."""

    def __init__(self, path: Path) -> None:
        LocalKeyFile.create(path)
        self._ring = LocalKeyFile(path)
        self.up = True
        self.quick = threading.Event()
        self.quick.set()
        self.seconds = 0.0
        self.asked_by: list[threading.Thread] = []

    def wrap(self, context: bytes, key: bytes) -> bytes:
        self._reach()
        return self._ring.wrap(context, key)

    def unwrap(self, context: bytes, wrapped: bytes) -> bytes:
        self._reach()
        return self._ring.unwrap(context, wrapped)

    def _reach(self) -> None:
        self.asked_by.append(threading.current_thread())
        self.quick.wait(20)
        time.sleep(self.seconds)
        if not self.up:
            raise KeyProviderError("the line is cut")


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(tmp_path / "kek.json")


def _keys(line: Line, owner: Engine, hold: float) -> ElectionKeys:
    made = ElectionKeys(line, owner, data_key_rows=10, hold_seconds=hold)
    with owner.begin() as connection:
        made.store(connection, "e", "issuance", uuid.uuid4(), ISSUANCE)
    line.asked_by.clear()
    return made


def _used_for(keys: ElectionKeys, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert keys.issuance("e") == ISSUANCE
        time.sleep(0.01)


def test_whoever_uses_a_key_never_waits_for_its_renewal(
    line: Line, owner: Engine
) -> None:
    keys = _keys(line, owner, hold=2)
    keys.issuance("e")
    line.quick.clear()
    _used_for(keys, 1.5)
    line.quick.set()
    # Far over the time of the first unwrapping, and of the second.
    _used_for(keys, 3.5)
    me = threading.current_thread()
    assert line.asked_by[0] is me
    assert len(line.asked_by) > 2
    assert me not in line.asked_by[1:]


CALLERS = 16


def test_many_who_want_a_key_at_first_share_one_answer(
    line: Line, owner: Engine
) -> None:
    """One after the other they would wait for eight seconds, and most be refused."""
    one_lane = Bounded(line, "the line", 2)  # type: ignore[arg-type]
    keys = ElectionKeys(one_lane, owner, data_key_rows=10, hold_seconds=60)
    _keys(line, owner, hold=60)
    line.seconds = 0.5
    with ThreadPoolExecutor(CALLERS) as crowd:
        asked = [crowd.submit(keys.issuance, "e") for _ in range(CALLERS)]
        assert [one.result() for one in asked] == [ISSUANCE] * CALLERS
    assert len(line.asked_by) == 1
    assert keys.issuance("e") == ISSUANCE
    assert len(line.asked_by) == 1


def test_many_who_want_a_key_share_a_failure_and_no_more_than_that(
    line: Line, owner: Engine
) -> None:
    keys = _keys(line, owner, hold=600)
    line.up, line.seconds = False, 0.5
    with ThreadPoolExecutor(CALLERS) as crowd:
        asked = [crowd.submit(keys.issuance, "e") for _ in range(CALLERS)]
        for one in asked:
            with pytest.raises(KeyProviderError, match="the line is cut"):
                one.result()
    assert len(line.asked_by) == 1
    line.up = True
    assert keys.issuance("e") == ISSUANCE


def test_a_key_that_was_answered_late_ends_before_the_others(
    line: Line, owner: Engine
) -> None:
    """Its time counts from when it was asked for."""
    keys = _keys(line, owner, hold=3)
    line.quick.clear()
    with ThreadPoolExecutor(1) as beside:
        late = beside.submit(keys.issuance, "e")
        assert eventually(lambda: len(line.asked_by) == 1)
        time.sleep(2)
        gate, line.quick = line.quick, threading.Event()
        line.quick.set()
        other = keys.data_key("e", 1).key
        gate.set()
        assert late.result() == ISSUANCE
    assert remembers(keys, ISSUANCE)
    assert eventually(lambda: not remembers(keys, ISSUANCE))
    assert remembers(keys, other)


def test_a_kms_that_is_away_is_noticed_when_the_time_is_up(
    line: Line, owner: Engine
) -> None:
    keys = _keys(line, owner, hold=2)
    keys.issuance("e")
    line.up = False
    began = time.monotonic()
    _used_for(keys, 1.8)
    with pytest.raises(KeyProviderError, match="the line is cut"):
        while time.monotonic() < began + 20:
            keys.issuance("e")
    assert not remembers(keys, ISSUANCE)
    line.up = True
    assert keys.issuance("e") == ISSUANCE


def test_renewing_goes_on_when_the_kms_is_back(line: Line, owner: Engine) -> None:
    keys = _keys(line, owner, hold=2)
    keys.issuance("e")
    line.up = False
    _used_for(keys, 1.5)
    assert len(line.asked_by) > 2
    line.up = True
    _used_for(keys, 2)
    assert threading.current_thread() not in line.asked_by[1:]


def test_a_kms_that_is_back_is_noticed_though_nobody_asks(
    line: Line, owner: Engine
) -> None:
    """Whether its keys have run out meanwhile, or there never was one."""
    keys = _keys(line, owner, hold=2)
    line.up = False
    with pytest.raises(KeyProviderError):
        keys.issuance("e")
    failing = keys.state()["failing"]
    assert failing is not None and failing >= 0
    time.sleep(0.2)
    assert (keys.state()["failing"] or 0) > failing
    # Not over and over.
    assert len(line.asked_by) < 15
    line.up = True
    assert eventually(lambda: keys.state()["failing"] is None)
    asked = len(line.asked_by)
    time.sleep(0.5)
    assert len(line.asked_by) == asked


def test_a_key_that_is_gone_is_forgotten_when_that_is_heard(
    line: Line, owner: Engine
) -> None:
    """Before its time is up."""
    keys = _keys(line, owner, hold=8)
    keys.issuance("e")
    began = time.monotonic()
    with owner.begin() as connection:
        connection.execute(update(WrappedKey).values(wrapped=None))
    with pytest.raises(KeyMissing):
        _used_for(keys, 20)
    assert time.monotonic() - began < 7
    assert not remembers(keys, ISSUANCE)


def test_a_key_that_nobody_uses_is_not_renewed(line: Line, owner: Engine) -> None:
    keys = _keys(line, owner, hold=0.6)
    keys.issuance("e")
    assert eventually(lambda: not remembers(keys, ISSUANCE))
    assert len(line.asked_by) == 1


def test_what_is_forgotten_is_overwritten(line: Line, owner: Engine) -> None:
    keys = _keys(line, owner, hold=60)
    keys.issuance("e")
    (held,) = (one for one in held_bytes(keys) if one == ISSUANCE)
    assert isinstance(held, bytearray)
    mine = keys.issuance("e")
    keys.close()
    assert held == bytes(32)
    assert not remembers(keys, ISSUANCE)
    # Not under the hands of who has asked for it.
    assert mine == ISSUANCE
    # Nothing is held after that.
    assert keys.issuance("e") == ISSUANCE
    assert not remembers(keys, ISSUANCE)


@pytest.mark.parametrize("away", [True, False], ids=["away", "slow"])
def test_a_data_key_serves_over_its_rows_rather_than_make_a_vote_wait(
    line: Line, owner: Engine, away: bool
) -> None:
    keys = _keys(line, owner, hold=60)
    first = keys.data_key("e", 1)
    if away:
        line.up = False
    else:
        line.quick.clear()
    line.asked_by.clear()
    for _ in range(30):
        assert keys.data_key("e", 1) == first
    assert threading.current_thread() not in line.asked_by
    line.up = True
    line.quick.set()
    assert eventually(lambda: keys.data_key("e", 1) != first)


def test_the_next_data_key_is_held_when_its_time_comes(
    line: Line, owner: Engine
) -> None:
    """Made long ago, and forgotten since: it is asked for anew, beside the path."""
    keys = _keys(line, owner, hold=1.5)
    first = keys.data_key("e", 6)
    assert eventually(lambda: len(line.asked_by) == 4)
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        assert keys.data_key("e", 0) == first
        time.sleep(0.01)
    line.asked_by.clear()
    line.up = False
    assert keys.data_key("e", 8) == first
    line.up = True
    assert eventually(lambda: keys.data_key("e", 1) != first)
    assert threading.current_thread() not in line.asked_by
