"""The rules for Prometheus: promtool finds no fault, each rule has a test of its, each alert a place in the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.fleet import ROOT
from tests.support.prometheus import promtool

PAGE = ROOT / "docs" / "observability" / "README.md"
RULES = ROOT / "docs" / "observability" / "prometheus"
TESTS = sorted(Path(__file__).parent.glob("rules/*.yml"))
ALERTS = (RULES / "tidegate-alerts.yml").read_text()
RECORDING = (RULES / "tidegate-recording.yml").read_text()
ALERT_NAMES = re.findall(r"- alert: (\w+)", ALERTS)
RECORD_NAMES = re.findall(r"- record: ([\w:]+)", RECORDING)
SEVERITIES = {"critical", "warning", "info"}


def test_promtool_finds_no_fault_in_the_rules() -> None:
    said = promtool(
        "check", "rules", *(str(RULES / name) for name in ("tidegate-recording.yml", "tidegate-alerts.yml"))
    )
    assert [int(found) for found in re.findall(r"SUCCESS: (\d+) rules found", said)] == [
        len(RECORD_NAMES),
        len(ALERT_NAMES),
    ]


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_promtool_runs_their_tests(path: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", str(path))


def test_each_rule_has_a_test() -> None:
    tests = {path.stem: path.read_text() for path in TESTS}
    fires = set(re.findall(r'labels: \'{alertname="(\w+)"', tests["alerts"]))
    # One test tells by service alone whose burst it was.
    fires |= set(re.findall(r'ALERTS{alertname="(\w+)",alertstate="firing"}\)\'\n +eval_time', tests["alerts"]))
    assert fires == set(ALERT_NAMES)
    assert [name for name in RECORD_NAMES if not re.search(rf"{name}\b(?!:)", tests["recording"])] == []


def test_no_alert_and_no_record_has_two_meanings() -> None:
    assert len(set(ALERT_NAMES)) == len(ALERT_NAMES)
    assert len(set(RECORD_NAMES)) == len(RECORD_NAMES)


def test_alerts_read_only_what_is_recorded() -> None:
    read = set(re.findall(r"\bservice_role\w*:[\w:]+", ALERTS))
    assert read
    assert read - set(RECORD_NAMES) == set()


@pytest.mark.parametrize("alert", ALERT_NAMES)
def test_an_alert_says_how_grave_it_is_what_it_means_and_what_to_do(alert: str) -> None:
    begin = ALERTS.index(f"- alert: {alert}\n")
    text = ALERTS[begin : ALERTS.find("- alert:", begin + 1)]
    severity = re.search(r"severity: (\w+)", text)
    assert severity is not None
    assert severity[1] in SEVERITIES
    assert re.search(r"summary: \".*\{\{ \$labels\.service }} \(\{\{ \$labels\.role }}\)", text)
    assert "description: >-" in text
    runbook = re.search(r"runbook: (\S+)#(\S+)", text)
    assert runbook is not None
    assert (ROOT / runbook[1]).resolve() == PAGE
    assert runbook[2] == alert.lower()
    # The heading of that name, which Markdown gives the anchor in small letters.
    assert f"\n### {alert}\n" in PAGE.read_text()


def test_the_page_tells_of_no_other_alert() -> None:
    assert set(re.findall(r"^### (Tidegate\w+)$", PAGE.read_text(), re.MULTILINE)) == set(ALERT_NAMES)


def test_the_links_of_the_page_lead_somewhere() -> None:
    page = PAGE.read_text()
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert len(links) > 10
    headings = {f"#{heading.lower()}" for heading in re.findall(r"^#+ (\S+)$", page, re.MULTILINE)}
    assert [link for link in links if not (link in headings if link[0] == "#" else (PAGE.parent / link).exists())] == []
