"""A log without its key stops no other, and goes on when the key is back."""

from __future__ import annotations

import pytest

from tests.logs.desk import Desk
from votepyramid.db import make_engine
from votepyramid.logs import metrics
from votepyramid.logs import sequencer as sequencing
from votepyramid.logs.store import AUDIT, RECEIPTS

LOST = """
CREATE TABLE lost AS SELECT * FROM wrapped_keys WHERE purpose = 'receipt-log';
DELETE FROM wrapped_keys WHERE purpose = 'receipt-log'
"""
FOUND = "INSERT INTO wrapped_keys SELECT * FROM lost"


def keyless() -> float:
    return metrics.KEYLESS.labels("demo", RECEIPTS)._value.get()


@pytest.mark.parametrize("how", ["it begins anew", "its rest is over"])
def test_a_key_that_comes_back(
    desk: Desk, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipts = desk.booth.cast("v0")
    with desk.election.sql() as db:
        db.execute(LOST)
        engine = make_engine(desk.database.sequencer_url)
        sequencer = desk.sequencer(engine)
        if how == "its rest is over":
            monkeypatch.setattr(sequencing, "KEYLESS_S", 0.0)
        with sequencer.turn.taken():
            sequencer.check()
            assert sequencer.step(flush=True) > 0
            assert (keyless(), desk.size(), desk.public(AUDIT).size > 0) == (1, 0, True)
            db.execute(FOUND)
            if how == "it begins anew":
                sequencer.check()
            sequencer.step(flush=True)
            assert keyless() == 0
    engine.dispose()
    desk.whole(*receipts)


def test_a_key_that_is_gone_is_told_by_nobody_without_the_turn(desk: Desk) -> None:
    desk.booth.cast("v0")
    with desk.election.sql() as db:
        db.execute(LOST)
    assert desk.sequence() == {}
    # Whoever has the next turn says it.
    assert keyless() == 0
