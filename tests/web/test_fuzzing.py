"""Requests that no person would think of, made by schemathesis from the document.

Data that follows the document and data that does not, against the running processes.
Whatever is sent: the answer is documented in status, headers and body, is never a
server's failure, and what does not follow the document is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import SchemathesisConfig

from tests.web import document
from tests.web.conftest import Site

ELECTION = re.compile(document.document()["components"]["schemas"]["Id"]["pattern"])
BEARER = re.compile(document.document()["components"]["schemas"]["Bearer"]["pattern"])
SIZE = re.compile("0|[1-9][0-9]{0,18}", re.ASCII)
CAST = {
    member: document.validator(schema)
    for member, schema in document.document()["components"]["schemas"]["Cast"][
        "properties"
    ].items()
}
EXAMPLES = 40
CONFIG = {
    "generation": {"deterministic": True, "database": "none"},
    "checks": {
        # A sealed ballot cannot be made from a pattern: its length is refused, and
        # so is whatever it was declared to be.
        "positive_data_acceptance": {
            "expected-statuses": [200, 202, 403, 404, 409, 422, 429]
        },
        "negative_data_rejection": {
            "expected-statuses": [400, 401, 403, 404, 405, 413, 415, 422]
        },
    },
}


api = schemathesis.openapi.from_path(
    document.PATH, config=SchemathesisConfig.from_dict(CONFIG)
)


@pytest.fixture(scope="module")
def bearer(site: Site) -> str:
    return str(site.door.token("v20"))


@pytest.fixture(scope="module")
def seen() -> Iterator[Counter[tuple[str, str, str]]]:
    """Answers by operation, kind of data and code, looked at in the end."""
    counted: Counter[tuple[str, str, str]] = Counter()
    yield counted
    if {operation for operation, _, _ in counted} != {
        operation["operationId"] for _, _, operation in document.operations()
    }:
        return  # Only some of the operations were asked for.
    for wanted in (
        ("castVote", "positive", "manifest_mismatch"),
        ("castVote", "positive", "style_mismatch"),
        ("castVote", "positive", "suite_mismatch"),
        ("castVote", "positive", "key_mismatch"),
        ("castVote", "positive", "ballot_length"),
        ("castVote", "negative", "malformed"),
        ("castVote", "negative", "unsupported_media_type"),
        ("castVote", "negative", "method_not_allowed"),
        ("claimToken", "positive", ""),
        ("claimToken", "negative", "malformed"),
        ("claimToken", "negative", "unauthenticated"),
        ("getReceipt", "positive", "receipt_unknown"),
        ("getReceipt", "negative", "malformed"),
        ("getElection", "positive", ""),
        ("getElection", "negative", "election_unknown"),
        ("getManifest", "positive", ""),
        ("getReadiness", "positive", ""),
    ):
        assert counted[wanted], (wanted, sorted(counted.items()))


@api.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_any_request(
    case: schemathesis.Case,
    site: Site,
    bearer: str,
    seen: Counter[tuple[str, str, str]],
) -> None:
    operation = case.operation.definition.raw["operationId"]
    headers = {}
    _lead_inside(case, site, bearer, sum(seen.values()) % 5)
    if operation in ("claimToken", "stateNoneIssued"):
        headers["Authorization"] = f"Bearer {site.election.jwt('v21')}"
    answer = case.call_and_validate(base_url=site.url, headers=headers)
    refused = answer.headers.get("content-type") == ["application/problem+json"]
    code = answer.json()["code"] if refused and answer.content else ""
    seen[operation, case.meta.generation.mode.value, code] += 1


def _lead_inside(
    case: schemathesis.Case, site: Site, bearer: str, right_ones: int
) -> None:
    """Valid made-up names become those of the election and a token of it, and sizes
    those of a log that grows.

    The first `right_ones` of what a ballot declares become right too, so that some
    get past each of the comparisons.
    """
    path = case.path_parameters or {}
    if ELECTION.fullmatch(str(path.get("election", ""))):
        path["election"] = site.election.id
    old, new = str(path.get("old", "")), str(path.get("new", ""))
    if SIZE.fullmatch(old) and SIZE.fullmatch(new) and int(old) > int(new):
        # That they have an order no schema can say.
        path["old"], path["new"] = path["new"], path["old"]
    body = case.body
    if not isinstance(body, dict) or not BEARER.fullmatch(str(body.get("token", ""))):
        return
    body["token"] = bearer
    manifest = site.election.manifest
    right = {
        "manifest_hash": site.election.m.hex(),
        "style": "north",
        "suite": manifest["suite"],
        "key_id": manifest["key_id"],
    }
    for member, value in list(right.items())[:right_ones]:
        if member in body and CAST[member].is_valid(body[member]):
            body[member] = value
