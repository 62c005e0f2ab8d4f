"""Readiness after a worker was killed.

Temporal remembers a poller for minutes, so readiness believes in it for one long poll
and no longer. The worker was killed before the other tests of this folder: little of
that time is left by now.
"""

from __future__ import annotations

import time
from typing import Any

import httpx2

from tests.support.processes import eventually
from tests.web.conftest import Site
from votepyramid.web.health import POLLER_FRESH_S


def test_a_killed_worker_is_missed(site: Site) -> None:
    def problems() -> dict[str, Any]:
        answer = httpx2.get(f"{site.widowed.web.url}/health/ready")
        checks = answer.json()["checks"]
        wrong = {c["name"]: c["problem"] for c in checks if not c["ok"]}
        assert answer.status_code == (503 if wrong else 200)
        return wrong

    left = site.widowed.since + POLLER_FRESH_S + 5 - time.monotonic()
    assert eventually(lambda: bool(problems()), left)
    assert set(problems()) == {"worker"}
    # The other web process has a worker on its own task queue.
    assert httpx2.get(f"{site.url}/health/ready").status_code == 200
