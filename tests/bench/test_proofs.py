"""`make bench-proofs`, short: every part of it on a small log."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.running import run_bench
from tests.support.needs import needs

pytestmark = needs("postgresql-debian")


@pytest.mark.usefixtures("temporal_programs_on_postgres")
@pytest.mark.timeout(300)
def test_every_target_of_the_logs_has_its_figure(tmp_path: Path) -> None:
    options = ["--leaves=7000", "--sustained-seconds=1", "--steady-seconds=1"]
    options += ["--cold=1", "--keep-caches", "--raw-seconds=0.2"]
    measured, said = run_bench(tmp_path, "bench.proofs", *options)
    targets = [(one["target"], one["unit"]) for one in measured["figures"]]
    assert targets == [
        (5000, "leaves/s"),
        (5000, "leaves/s"),
        (1000, "ms"),
        (1000, "ms"),
        (50_000, "leaves/s"),
        (50_000, "leaves/s"),
        (90.0, "%"),
        (5.0, "ms"),
        (5.0, "ms"),
    ]
    assert all(one["measured"] > 0 for one in measured["figures"])
    for words in ("7,000 receipts", "by the service", "over HTTP", "raw Ed25519"):
        assert words in said
    assert measured["more"]["cache_emptied"] is False
