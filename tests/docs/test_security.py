"""What the page of security calls upon is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()


def test_each_test_that_the_page_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w./-]+)(?:::(\w+))?`", PAGE)
    assert len(named) >= 20
    for path, function in named:
        assert (ROOT / path).is_file(), path
        if function:
            assert re.search(rf"^(async )?def {function}\(", (ROOT / path).read_text(), re.MULTILINE), function


def test_each_threat_says_what_defends_and_what_does_not() -> None:
    table = PAGE[PAGE.index("| attacker |") :].split("\n\n")[0].splitlines()[2:]
    assert len(table) >= 12
    for row in table:
        attacker, defence, test, _rest = (cell.strip() for cell in row.strip("|").split(" | "))
        assert attacker.startswith("**")
        assert defence
        assert "`tests/" in test, attacker


def test_the_policy_says_how_to_report_and_makes_up_no_address() -> None:
    policy = (ROOT / "SECURITY.md").read_text()
    assert "security advisories" in policy
    assert "@" not in policy
    assert "http" not in policy
