"""Payloads in the console, opened for those who are signed in and may."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path

import pytest

from admin_ui.services import make_services
from tests.admin_ui.conftest import PASSPHRASE
from tests.admin_ui.production import Site, history, page_of, shown
from tests.admin_ui.test_second_factor import SHOW
from tests.support.needs import needs
from votepyramid.settings import SettingsError

pytestmark = [needs("chromium"), needs("nginx")]


@pytest.mark.parametrize("role", ["operator", "administrator", "auditor"])
def test_payloads_are_opened_for_those_who_may(site: Site, role: str) -> None:
    workflow_id, receipt_hash = site.recorded()
    name = f"con-{role}"
    visitor = site.with_key(name, role)
    if role == "auditor":
        # All the way, in the browser; the others as its page asks.
        visitor.go(f"{site.console}{page_of(workflow_id)}")
        shown(visitor, receipt_hash)
    with site.client(visitor) as client:
        started = history(client, workflow_id)[0]
        payloads = started["workflowExecutionStartedEventAttributes"]["input"]
        answer = site.decode(client, payloads["payloads"])
    assert answer.status_code == 200, answer.text
    (opened,) = answer.json()["payloads"]
    assert receipt_hash in base64.b64decode(opened["data"]).decode()
    assert "x-operator-token" not in answer.headers
    line = site.codec_lines("payloads_decoded")[-1]
    assert (line["who"], line["role"]) == (name, role)
    assert line["places"] == [f"default/{workflow_id}"]


def test_payloads_stay_sealed_for_all_others(site: Site) -> None:
    """A viewer, an operator who has no key or has not shown it."""
    viewer = site.with_key("con-dot", "viewer")
    without = site.visitor("operator")
    unshown = site.with_key("con-hal", "operator")
    unshown.press("Sign out")
    unshown.sign_in("con-hal", PASSPHRASE)
    assert unshown.heading == SHOW
    before = site.codec_server.log_text()
    # Nor does it help to bring a token along.
    forged = {"Authorization": f"Bearer {'x' * 40}", "X-Operator-Token": "x"}
    for visitor, status in ((viewer, 403), (without, 403), (unshown, 401)):
        with site.client(visitor) as client:
            for headers in ({}, forged):
                answer = site.decode(client, [], **headers)
                assert answer.status_code == status, answer.text
    # It was not even asked.
    assert site.codec_server.log_text() == before


def test_only_the_console_s_page_has_payloads_opened(site: Site) -> None:
    with site.client(site.with_key("con-eve", "operator")) as client:
        assert site.decode(client, []).status_code == 200
        for origin in (site.pages, "https://evil.example", "null", ""):
            refused = site.decode(client, [], Origin=origin)
            assert refused.status_code == 403, origin
            assert refused.json()["reason"] == "origin"


def test_settings_that_cannot_work_stop_the_start(site: Site) -> None:
    key = str(site.folder / "keys" / "operator.key.json")
    good = dataclasses.replace(
        site.office.engine.settings,
        environment="production",
        admin_origin="https://admin.example.org",
        codec_origin="https://admin.example.org:8443",
        operator_issuer="https://admin.example.org",
        operator_audience="operators",
        operator_key_file=key,
    )
    assert make_services(good).issuer is not None
    assert make_services(dataclasses.replace(good, operator_key_file="")).issuer is None
    public = str(site.folder / "keys" / "operator.pub.json")
    Path(public).chmod(0o600)
    bad = {
        "codec_origin": ["", "https://console.example.org", good.admin_origin],
        "operator_issuer": [""],
        "operator_audience": [""],
        "operator_key_file": [public],
    }
    for name, values in bad.items():
        for value in values:
            with pytest.raises(SettingsError, match=name):
                make_services(dataclasses.replace(good, **{name: value}))
