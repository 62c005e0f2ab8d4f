"""What no page of ours sends: every address and every form, as nobody and as somebody.

Whatever is sent is answered with a page that says what is wrong, and never as a fault
of this program: that is an alert, and a stranger could raise it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote_from_bytes

import httpx2
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.admin_ui.conftest import PASSPHRASE, Office
from tests.admin_ui.test_permissions import VIEWS, View
from tests.support.needs import needs
from votepyramid.web.policy import ANYONE

pytestmark = [needs("chromium"), pytest.mark.timeout(400)]

FORM = "application/x-www-form-urlencoded"
NAMES = (
    *("next", "name", "passphrase", "repeated", "code", "kind", "state", "step"),
    *("election", "older_than", "younger_than", "needs_attention", "act", "before"),
    *("after", "subject", "run", "done", "still", "to", "workflow", "reason", "role"),
    *("key", "answer", "issuer", "manifest", "authority", "session", "error", "iss"),
)
# What was answered with 500 once, and what is like it.
NASTY = (
    *(b"//[", b"http://[", b"//]", b"//a:b", b"\xff", b"\xed\xa0\x80", b"\0", b"a\0b"),
    *(b"", b"/", b"\n", b"-1", b"9" * 30, b"\xe2\x80\xae", b"'", b"%", b"{{7*7}}"),
)
# The wrong words of a form that is one, and forms that are none.
TYPES = (
    *(FORM, f"{FORM}; charset=latin-1", f"{FORM}; charset=nonsense", "text/plain"),
    *("multipart/form-data", "multipart/form-data; boundary=", "application/json"),
    *("multipart/form-data; boundary=x", 'multipart/form-data; boundary="\xff"', ""),
)
PART = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
ODD = (
    b"",
    b"\r\nContent-Type: text/plain; charset=nonsense",
    b"\r\nContent-Type: text/plain; charset=utf-16",
    b"\r\nContent-Transfer-Encoding: base64",
    b"\r\nContent-Transfer-Encoding: nonsense",
    b"\r\nContent-Length: -5",
    b'; filename="a"',
)

values = st.sampled_from(NASTY) | st.binary(max_size=12)
pairs = st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=4)
# An act that changes who may sign in, and signing out, would end what goes on here.
POSTED = [v for v in VIEWS if v.method == "POST" and v.pattern != "/sign-out"]
READ = [v for v in VIEWS if v.method != "POST" and v.pattern != "/static/*subpath"]
calm = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Sender:
    """Somebody who sends what they like."""

    client: httpx2.Client

    def send(
        self, method: str, path: str, body: bytes = b"", kind: str = FORM
    ) -> httpx2.Response:
        """Never answered with 500."""
        headers = {"Content-Type": kind.encode("latin-1")} if body or kind else {}
        answer = self.client.request(method, path, content=body, headers=headers)
        assert answer.status_code != 500, (method, path, kind, body)
        return answer


@pytest.fixture(scope="module")
def senders(office: Office) -> Iterator[dict[str, Sender]]:
    """Nobody, named '', and an administrator of the test's own."""
    office.add("fuzz", "administrator", "auditor")
    made = {}
    for name in ("", "fuzz"):
        client = httpx2.Client(base_url=office.url, headers={"Origin": office.url})
        made[name] = Sender(client)
        if name:
            form = {"name": name, "passphrase": PASSPHRASE, "next": "/"}
            assert client.post("/sign-in", data=form).status_code == 303
    yield made
    for one in made.values():
        one.client.close()


def encoded(found: list[tuple[str, bytes]]) -> str:
    """As a query or a form has them."""
    return "&".join(f"{name}={quote_from_bytes(value)}" for name, value in found)


def in_parts(found: list[tuple[str, bytes]], odd: bytes) -> bytes:
    """As a form with files has them."""
    parts = [PART % (name.encode(), odd, value) for name, value in found]
    return b"".join(parts) + b"--x--\r\n"


def filled(view: View, names: list[bytes]) -> str:
    """An address of the view with these in the place of names."""
    left = iter(names)
    return re.sub(
        r"\{\w+(:[^}]+)?\}",
        lambda _: quote_from_bytes(next(left, b"nothing"), safe=""),
        "/" + view.pattern.lstrip("/"),
    )


@pytest.mark.parametrize("view", READ, ids=lambda v: v.pattern)
@calm
@given(pairs, st.lists(values, max_size=2), st.sampled_from(["", "fuzz"]))
def test_any_address(
    senders: dict[str, Sender],
    view: View,
    query: list[tuple[str, bytes]],
    names: list[bytes],
    who: str,
) -> None:
    senders[who].send("GET", f"{filled(view, names)}?{encoded(query)}", kind="")


@pytest.mark.parametrize("view", POSTED, ids=lambda v: v.pattern)
@calm
@given(
    pairs,
    st.lists(values, max_size=2),
    st.sampled_from(["", "fuzz"]),
    st.sampled_from(TYPES),
    st.sampled_from((None, *ODD)),
)
def test_any_form(
    senders: dict[str, Sender],
    view: View,
    form: list[tuple[str, bytes]],
    names: list[bytes],
    who: str,
    kind: str,
    odd: bytes | None,
) -> None:
    body = encoded(form).encode() if odd is None else in_parts(form, odd)
    senders[who].send("POST", filled(view, names), body, kind)


@pytest.mark.parametrize("target", ["//[", "//]", "http://[", "%ff"])
@pytest.mark.parametrize("path", ["/sign-in", "/sign-in/again"])
def test_where_to_go_on_is_an_address_or_none(
    senders: dict[str, Sender], path: str, target: str
) -> None:
    who = senders["fuzz" if path.endswith("again") else ""]
    assert who.send("GET", f"{path}?next={target}", kind="").status_code == 200
    form = f"name=nobody&passphrase=x&next={target}"
    wrong = form if path == "/sign-in" else form.partition("&")[2]
    assert who.send("POST", path, wrong.encode()).status_code == 403


@pytest.mark.parametrize(
    "path", ["/work?kind=%ff", "/work?older_than=%ff", "/audit?election=%ff"]
)
def test_a_filter_that_is_no_text_is_refused(
    senders: dict[str, Sender], path: str
) -> None:
    assert senders["fuzz"].send("GET", path, kind="").status_code == 400


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        (f"{FORM}; charset=latin-1", b"name=x"),
        ("multipart/form-data; boundary=x", in_parts([("name", b"x")], ODD[1])),
    ],
)
def test_what_nobody_can_read_as_a_form_is_refused(
    senders: dict[str, Sender], kind: str, body: bytes
) -> None:
    assert senders[""].send("POST", "/sign-in", body, kind).status_code == 400


def test_every_view_is_sent_something() -> None:
    assert {view.permission for view in VIEWS} > {ANYONE}
    assert len(READ) > 20 and len(POSTED) > 20
