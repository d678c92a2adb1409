"""docs/safety.md names tests; each of them has to exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_each_test_that_the_safety_page_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs/safety.md").read_text())
    assert len(named) > 30
    missing = [f"{path}::{test}" for path, test in named if f"def {test}(" not in _text(path)]
    assert missing == []


def _text(path: str) -> str:
    file = ROOT / path
    return file.read_text() if file.exists() else ""
