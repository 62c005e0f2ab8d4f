"""One codec server beside an engine that has work behind it and some stuck."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.codec_server.desk import Desk, start
from tests.support.engines import Engines
from tests.support.faults import Console, poisoned
from tests.support.processes import eventually, stopping


@pytest.fixture(scope="package")
def desk(engines: Engines) -> Iterator[Desk]:
    with engines.running("desk") as engine:
        election = engine.make_election(id="desk", voters=2)
        (door,) = engine.doors(election)
        ballots = [door.ballot(f"v{n}") for n in range(2)]
        assert door.cast(ballots[0]).status_code == 200
        console = Console(engine.env)
        # As in production: it needs the payload keys, and nothing of the database.
        env = {
            name: value
            for name, value in engine.env.items()
            if not name.endswith(("DATABASE_URL", "KEK_FILE"))
        }
        server = start(env, engine.folder, "codec-server")
        with (
            stopping(server),
            poisoned(
                election,
                "vote_submissions",
                "receipt_hash",
                ballots[1].receipt_hash,
                says="NEW",
            ),
        ):
            assert door.cast(ballots[1]).status_code == 202
            stuck = f"vote/{ballots[1].receipt_hash}"
            assert eventually(lambda: console.needing_attention() == [stuck], 20)
            yield Desk(engine, election, server, ballots, console)
