"""How long to wait, and which addresses and credentials are fit to be used."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from votepyramid.client.errors import BadAddress, CredentialError
from votepyramid.client.messages import bearer_header, check_base_url
from votepyramid.client.policy import RetryPolicy, retry_after

HIGHEST = RetryPolicy(base=0.25, cap=15.0, uniform=lambda low, high: high)
LOWEST = RetryPolicy(base=0.25, cap=15.0, uniform=lambda low, high: low)


def test_the_bound_doubles_up_to_the_cap() -> None:
    bounds = [HIGHEST.wait(attempt, None) for attempt in range(1, 9)]
    assert bounds == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]


def test_the_jitter_is_full() -> None:
    assert LOWEST.wait(7, None) == 0.0
    waits = {round(RetryPolicy().wait(5, None), 3) for _ in range(200)}
    assert len(waits) > 100


@given(attempt=st.integers(1, 10**6), asked=st.floats(0, 60))
def test_retry_after_is_never_undercut(attempt: int, asked: float) -> None:
    assert asked <= LOWEST.wait(attempt, asked)
    assert HIGHEST.wait(attempt, asked) <= asked + 0.25


def test_an_unreasonable_retry_after_is_bounded() -> None:
    assert HIGHEST.wait(1, 86400.0) == 60.25


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 12 ", 12.0),
        ("-1", None),
        ("1.5", None),
        ("1e3", None),
        ("٣", None),
        ("9" * 10, None),
        ("Mon, 23 Nov 2026 08:00:00 GMT", None),
        ("", None),
    ],
)
def test_reading_retry_after(text: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": text}) == seconds


def test_no_retry_after() -> None:
    assert retry_after({}) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://vote.example.org",
        "https://vote.example.org:8443/city/",
        "http://127.0.0.1:6543",
        "http://localhost:6543/",
        "http://[::1]:6543",
    ],
)
def test_addresses_that_are_fine(url: str) -> None:
    assert check_base_url(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "http://vote.example.org",
        "http://127.0.0.1.example.org",
        "ftp://vote.example.org",
        "vote.example.org",
        "https://",
        "https://user@vote.example.org",
        "https://vote.example.org/?next=x",
        "https://vote.example.org/#x",
        "https://vote.example.org:port",
        "https://[::1",
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(BadAddress):
        check_base_url(url)


def test_plain_http_elsewhere_only_when_insisted_on() -> None:
    assert check_base_url("http://10.0.0.5", allow_http=True) == "http://10.0.0.5"


@pytest.mark.parametrize("jwt", ["", "a.b", "a.b.c.d", "a.b.c\r\nx-evil: 1", "ä.b.c"])
def test_a_credential_cannot_bring_headers_along(jwt: str) -> None:
    with pytest.raises(CredentialError):
        bearer_header(jwt)
