"""Alerts, runbook and dashboard: each names what is there, and fires when it should."""

from __future__ import annotations

import json
import re
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.house import tables
from tests.house.source import ROOT
from tests.support.needs import needs

PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTS = PROMETHEUS / "alerts.yml"
TESTS = PROMETHEUS / "alerts_test.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "votepyramid.json"
RUNBOOK = ROOT / "docs" / "runbook.md"
# The endings that Prometheus's text form gives a histogram.
_OF_A_HISTOGRAM = ("_bucket", "_sum", "_count")
PARTS = ("**Symptom.**", "**Meaning.**", "**What to do.**", "**It is over when**")


def rules() -> list[dict[str, Any]]:
    found = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    return [rule for group in found["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions() -> list[str]:
    """Of the dashboard, as Prometheus gets them."""
    return [
        target["expr"].replace("$__rate_interval", "1m")
        for panel in panels()
        for target in panel.get("targets", [])
    ]


def exposed() -> dict[str, set[str]]:
    """Every sample's name that our code can make, with its labels."""
    found: dict[str, set[str]] = {}
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \| (.*?) \|", tables.metrics(), re.MULTILINE
    )
    for name, kind, cell in rows:
        labels = set(re.findall(r"`(\w+)`", cell))
        if kind == "histogram":
            for ending in _OF_A_HISTOGRAM:
                found[name + ending] = labels | {"le"}
        else:
            found[name] = labels
    return found


def unknown(text: str) -> set[str]:
    return set(re.findall(r"\bvotepyramid_\w+", text)) - set(exposed())


def test_every_metric_that_is_named_is_one_of_ours() -> None:
    assert unknown("rate(votepyramid_made_up_total[5m])")
    for rule in rules():
        assert "votepyramid_" in rule["expr"] or "up{" in rule["expr"]
        assert unknown(rule["expr"]) == set(), rule["alert"]
    assert unknown(DASHBOARD.read_text()) == set()


def test_every_label_that_is_selected_is_the_metrics() -> None:
    for text in (ALERTS.read_text(), TESTS.read_text(), *expressions()):
        for name, selected in re.findall(r"\b(votepyramid_\w+)\{([^}]*)\}", text):
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selected))
            assert labels <= exposed()[name] | {"instance"}, (name, selected)


def test_every_metric_is_on_the_dashboard() -> None:
    """What nobody looks at need not be counted."""
    shown = set(re.findall(r"\bvotepyramid_\w+", DASHBOARD.read_text()))
    shown |= set(re.findall(r"\bvotepyramid_\w+", ALERTS.read_text()))
    for name in exposed():
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        assert any(one.startswith(family) for one in shown), name


def test_every_alert_leads_to_its_entry_in_the_runbook() -> None:
    sections = {}
    text = RUNBOOK.read_text(encoding="utf-8")
    marks = [*re.finditer(r"^#{2,3} (.+)$", text, re.MULTILINE)]
    for this, following in pairwise([*marks, None]):
        end = following.start() if following else len(text)  # type: ignore[union-attr]
        anchor = re.sub(r"[^a-z0-9 -]", "", this[1].lower()).replace(" ", "-")  # type: ignore[index]
        sections[anchor] = this[0] + text[this.end() : end]  # type: ignore[index,union-attr]
    for rule in rules():
        path, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (ROOT / path).samefile(RUNBOOK)
        entry = sections[anchor]
        assert rule["alert"] in entry, f"{anchor} does not name {rule['alert']}"
        assert [part for part in PARTS if part not in entry] == [], anchor
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
    alerts = {rule["alert"] for rule in rules()}
    headings = {mark[1] for mark in marks if mark[1].startswith("Votepyramid")}
    assert headings <= alerts, "an entry without an alert"


def test_every_alert_has_a_test_that_is_quiet_fires_and_is_over() -> None:
    tested: dict[str, list[bool]] = {}
    for one in yaml.safe_load(TESTS.read_text(encoding="utf-8"))["tests"]:
        for check in one["alert_rule_test"]:
            fires = bool(check["exp_alerts"])
            tested.setdefault(check["alertname"], []).append(fires)
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    assert set(tested) == set(names)
    for name, fired in tested.items():
        assert fired == [False, True, False] * (len(fired) // 3), name


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    every = panels()
    assert len({panel["id"] for panel in every}) == len(every)
    taken: set[tuple[int, int]] = set()
    for panel in every:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not taken & cells, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"] and panel["targets"], panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"]


@needs("promtool")
class TestPromtool:
    """Prometheus's own judgement."""

    def run(self, program: Path, *words: str) -> str:
        ran = subprocess.run(
            [program, *words],
            cwd=PROMETHEUS,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def test_the_rules_are_rules(self, promtool_program: Path) -> None:
        said = self.run(promtool_program, "check", "rules", ALERTS.name)
        assert f"{len(rules())} rules found" in said

    def test_the_rules_fire(self, promtool_program: Path) -> None:
        assert "SUCCESS" in self.run(promtool_program, "test", "rules", TESTS.name)

    def test_what_the_dashboard_asks_can_be_asked(
        self, promtool_program: Path, tmp_path: Path
    ) -> None:
        asked = expressions()
        assert len(asked) > 40
        recorded = [
            {"record": f"asked:{number}", "expr": one}
            for number, one in enumerate(asked)
        ]
        file = tmp_path / "asked.yml"
        file.write_text(yaml.safe_dump({"groups": [{"name": "x", "rules": recorded}]}))
        self.run(promtool_program, "check", "rules", str(file))


@pytest.mark.parametrize("path", [ALERTS, TESTS, DASHBOARD])
def test_nothing_of_one_installation_is_in_it(path: Path) -> None:
    assert not re.search(r"https?://|\b\d+\.\d+\.\d+\.\d+\b", path.read_text())
