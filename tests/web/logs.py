"""The public log, as the API's document has it."""

from __future__ import annotations

import httpx2

from tests.support.sequencing import log
from tests.web.conftest import Site
from tests.web.document import Ledger
from tests.web.endings import end_an_election


def read_the_log(ledger: Ledger, site: Site, blind_url: str, casting_url: str) -> None:
    """Every answer of the public log, to the end of an election.

    At `blind_url` the database is away, at `casting_url` there is no door for claims.
    """
    door = site.door
    cast, waiting = door.ballot("v10"), door.ballot("v11")
    assert door.cast(cast).status_code == 200
    done = log(site.engine, site.checkpoints, "sequence", "--once")
    assert done.returncode == 0, done.stderr
    assert door.cast(waiting).status_code == 200
    for name in (cast.receipt_hash, waiting.receipt_hash, "not-a-hash"):
        ledger.check("getProof", door.http.get(door.path(f"receipt/{name}/proof")))
    backwards = door.path("log/consistency/1/0")
    ledger.check("getConsistency", httpx2.get(site.url + backwards))
    for operation, rest, none in (
        ("getProof", f"receipt/{'0' * 64}/proof", None),
        ("getCheckpoint", "log/checkpoint", door.path("log/checkpoint", "nobodys")),
        (
            "getAuditCheckpoint",
            "audit-log/checkpoint",
            door.path("audit-log/checkpoint", "nobodys"),
        ),
        ("getTile", "log/tile/0/000.p/1", door.path("log/tile/9/000")),
        ("getConsistency", "log/consistency/0/1", door.path("log/consistency/0/9")),
    ):
        if none is not None:
            ledger.check(operation, httpx2.get(site.url + door.path(rest)))
            ledger.check(operation, httpx2.get(site.url + none))
        ledger.check(operation, httpx2.get(blind_url + door.path(rest)))
    end_an_election(ledger, site, blind_url, casting_url)
