"""The import graph, drawn by grimp: the contracts of pyproject.toml hold, and the picture in the docs is this graph."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

grimp = pytest.importorskip("grimp", reason="comes with import-linter, in the environment of the newest Airflow")

ROOT = Path(__file__).parents[2]
OURS = "airflow_provider_iinked"
PACKAGE = ROOT / OURS
# What a stranger may expect in the folders that Airflow itself lists: operators, sensors, triggers, hooks. No helpers.
LISTED = {
    "operators": ("BaseOperator", "ApprovalOperator"),
    "sensors": ("BaseSensorOperator",),
    "triggers": ("BaseTrigger", "BaseEventTrigger"),
    "hooks": ("BaseHook",),
}


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph(OURS, exclude_type_checking_imports=True, cache_dir=None)


def picture() -> list[list[str]]:
    """The rows of packages in docs/architecture.md, from top to bottom: words in square brackets."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    block = page.split("```")[1]
    return [names for line in block.splitlines() if (names := re.findall(r"\[([a-z_]+)\]", line))]


def contracts() -> dict[str, dict[str, object]]:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {contract["id"]: contract for contract in config["tool"]["importlinter"]["contracts"]}


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_the_picture_has_the_rows_of_the_contract():
    layers = [re.findall(r"[a-z_]+", layer) for layer in contracts()["layers"]["layers"]]
    assert [sorted(row) for row in picture()] == [sorted(layer) for layer in layers]


def test_every_import_between_parts_of_the_picture_points_down(graph):
    row = {name: number for number, names in enumerate(picture()) for name in names}
    upward = {
        (importer, imported)
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
        if (a := part_of(importer)) in row and (b := part_of(imported)) in row and a != b and row[a] >= row[b]
    }
    assert upward == set()


def test_every_package_is_in_the_picture_or_named_beside_it(graph):
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    page = (ROOT / "docs" / "architecture.md").read_text()
    assert {name for name in packages | modules if not re.search(rf"\b{name}\b", page)} == set()


def test_exceptions_import_nothing_of_airflow_but_exception_classes():
    tree = ast.parse((PACKAGE / "exceptions.py").read_text())
    names = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("airflow.")
        for alias in node.names
    }
    assert names
    assert all("Exception" in name for name in names)


@pytest.mark.parametrize("folder", sorted(LISTED))
def test_no_helper_lies_where_airflow_looks_for_its_own_kinds(folder):
    helpers = []
    for path in sorted((PACKAGE / folder).glob("*.py")):
        if path.name == "__init__.py":
            continue
        classes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
        bases = {ast.unparse(base) for node in classes for base in node.bases}
        if not bases & set(LISTED[folder]):
            helpers.append(path.name)
    assert helpers == []


def test_every_package_says_at_its_top_what_it_may_know():
    silent = []
    for path in sorted(PACKAGE.glob("*/__init__.py")):
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        if "nows" not in text:
            silent.append(path.parent.name)
    assert silent == []


def test_no_module_lies_in_airflows_own_namespace():
    assert not (ROOT / "airflow").exists()


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_repeats_the_name_of_its_folder(path):
    assert not path.stem.endswith(("_hook", "_operator", "_sensor", "_trigger", "_operators", "_sensors"))
