"""tests/README.md is true: every folder stands in it, and unit tests lie where their module's path says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PACKAGE = TESTS.parent / "airflow_provider_iinked"
README = (TESTS / "README.md").read_text()
NAMED = set(re.findall(r"^\| `([a-z_]+)`", README, re.MULTILINE))
FOLDERS = {path.name for path in TESTS.iterdir() if path.is_dir() and any(path.glob("*.py"))}
MIRRORS = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} | {"unit"}


def modules_of(folder: str) -> set[str]:
    source = PACKAGE if folder == "unit" else PACKAGE / folder
    return {path.stem for path in source.glob("*.py")} - {"__init__"}


def test_every_folder_is_a_mirror_or_stands_in_the_tables():
    assert set() == FOLDERS - MIRRORS - NAMED


def test_every_folder_in_the_tables_is_there():
    assert set() == NAMED - FOLDERS


@pytest.mark.parametrize("folder", sorted(MIRRORS & FOLDERS - {"simulator"}))
def test_unit_tests_are_named_after_a_module_of_their_package(folder):
    modules = modules_of(folder)
    tests = {path.stem.removeprefix("test_") for path in (TESTS / folder).glob("test_*.py")}
    assert {name for name in tests if not any(name == one or name.startswith(f"{one}_") for one in modules)} == set()


def test_no_test_module_imports_its_helpers_by_a_bare_name():
    installed = {"swift", "wire", "processes"}  # packages of others, or words, that helpers are called after
    helpers = {path.stem for path in TESTS.rglob("*.py") if not path.name.startswith("test_")}
    helpers -= {"conftest", "__init__", *installed}
    bare = re.compile(rf"^\s*(?:from|import) ({'|'.join(sorted(helpers))})\b", re.MULTILINE)
    assert {str(path.relative_to(TESTS)) for path in TESTS.rglob("*.py") if bare.search(path.read_text())} == set()
