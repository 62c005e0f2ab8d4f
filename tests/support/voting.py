"""A voter at the public doors, as raw as a test needs it.

The project's own client is another subject: here nothing is retried or verified
unless a test says so, and any byte can be sent.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2

from tests.support.elections import MadeElection
from votepyramid.protocol.ballot import SealedBallot, seal_ballot
from votepyramid.protocol.encoding import b64u

T = TypeVar("T")
S = TypeVar("S")

SELECTIONS = {"mayor": [["ada-linden"], ["bo-quist"], []]}
OTHER_SELECTIONS = {"mayor": [["cy-rowan"], [], ["ada-linden", "bo-quist"]]}
PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class Ballot:
    """A sealed ballot under a token, ready to be posted."""

    bearer: uuid.UUID
    sealed: SealedBallot

    @property
    def receipt_hash(self) -> str:
        return self.sealed.receipt_hash

    def body(self, **changes: Any) -> dict[str, Any]:
        """The request's members, some of them replaced."""
        members = {
            "token": str(self.bearer),
            "payload": b64u(self.sealed.payload),
            "style": self.sealed.style,
            "suite": self.sealed.suite,
            "key_id": self.sealed.kid.hex(),
            "manifest_hash": self.sealed.m.hex(),
        }
        return {**members, **changes}


class Door:
    """One web process as a voter sees it. Safe to share between threads."""

    def __init__(self, url: str, election: MadeElection) -> None:
        self.url = url
        self.election = election
        limits = httpx2.Limits(max_connections=None)
        self.http = httpx2.Client(base_url=url, timeout=30, limits=limits)

    def path(self, rest: str, election: str | None = None) -> str:
        return f"/api/elections/{election or self.election.id}/{rest}"

    def claim(
        self, voter_id: str, style: str | None = None, election: str | None = None
    ) -> httpx2.Response:
        return self.http.post(
            self.path("tokens/claim/", election),
            json={"style": style} if style else {},
            headers={"Authorization": f"Bearer {self.election.jwt(voter_id)}"},
        )

    def token(self, voter_id: str) -> uuid.UUID:
        """The bearer of a claim that must succeed, though not at once."""
        deadline = time.monotonic() + 20
        answer = self.claim(voter_id)
        while answer.status_code == 503 and time.monotonic() < deadline:
            time.sleep(0.2)
            answer = self.claim(voter_id)
        assert answer.status_code == 200, answer.text
        return uuid.UUID(answer.json()["token"])

    def ballot(self, voter_id: str, selections: dict[str, Any] = SELECTIONS) -> Ballot:
        """Claim and seal."""
        return self.seal(self.token(voter_id), selections)

    def seal(
        self,
        bearer: uuid.UUID,
        selections: dict[str, Any] = SELECTIONS,
        style: str = "north",
    ) -> Ballot:
        manifest = self.election.manifest
        return Ballot(bearer, seal_ballot(manifest, style, bearer, selections))

    def cast(self, ballot: Ballot, **changes: Any) -> httpx2.Response:
        return self.post(ballot.body(**changes))

    def post(
        self,
        body: Any,
        *,
        election: str | None = None,
        content_type: str = "application/json",
    ) -> httpx2.Response:
        """Post a cast; bytes go as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.http.post(
            self.path("vote/", election),
            content=content,
            headers={"Content-Type": content_type},
        )

    def receipt(self, receipt_hash: str) -> httpx2.Response:
        return self.http.get(self.path(f"receipt/{receipt_hash}/"))

    def insist(self, ballot: Ballot, seconds: float = 30) -> bytes:
        """Send the same bytes as a patient client does; the receipt's bytes.

        503 and a lost connection are tried again, after 202 the status is asked.
        Raises AssertionError for any other answer, or none in time.
        """
        deadline = time.monotonic() + seconds
        answer: httpx2.Response | None = None
        while time.monotonic() < deadline:
            try:
                answer = self.cast(ballot)
                while answer.status_code == 202 and time.monotonic() < deadline:
                    time.sleep(0.1)
                    answer = self.http.get(answer.json()["status_url"])
            except httpx2.TransportError:
                time.sleep(0.1)
                continue
            if answer.status_code == 200:
                return answer.content
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["Retry-After"]) >= 1
            time.sleep(0.2)
        raise AssertionError(f"no receipt in {seconds} s: {answer and answer.text}")


def at_once(function: Callable[[S], T], items: Iterable[S]) -> list[T]:
    """Call `function` for every item in a thread of its own; results in order."""
    listed = list(items)
    with ThreadPoolExecutor(len(listed)) as threads:
        return list(threads.map(function, listed))


def assert_problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """A typed refusal, whole; its document."""
    assert answer.headers["Content-Type"] == PROBLEM, answer.text
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["code"]) == (status, code), answer.text
    assert document["status"] == status
    assert document["type"].endswith(code)
    assert document["title"]
    return document


def statuses(answers: Sequence[httpx2.Response]) -> set[int]:
    return {answer.status_code for answer in answers}
