"""The docs: each link inside leads somewhere, each public name has its place, and what they quote exists."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import BaseOperator, BaseSensorOperator

from airflow_provider_iinked.get_provider_info import get_provider_info

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("example_dags/*.md")])
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


def anchors(page):
    """The anchors of a page's headings, as GitHub and MyST make them."""
    names = (re.sub(r"[^\w\- ]", "", heading.lower()).strip() for heading in HEADING.findall(page.read_text()))
    return {name.replace(" ", "-") for name in names}


def without_code(page):
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_inside_leads_somewhere(page):
    dead = []
    for match in LINK.finditer(without_code(page)):
        target = match.group(1) or match.group(2)
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(target)
    assert not dead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_test_that_a_page_names_is_there(page):
    gone = []
    for path, name in re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", page.read_text()):
        source = (ROOT / path).read_text() if (ROOT / path).is_file() else ""
        if not source or (name and not re.search(rf"\bdef {name}\b", source)):
            gone.append(f"{path}::{name}")
    assert not gone


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_table_has_a_head(page):
    blocks = re.findall(r"(?:^\|.*\n)+", without_code(page), flags=re.MULTILINE)
    assert not [block[:80] for block in blocks if not re.match(r".*\n\|[ :|-]+\|\n", block)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_module_that_a_page_names_is_there(page):
    packages = (
        "api|custody|deletion|download|hooks|media|operators|sensors|simulator|storage|task_groups|triggers|waiting"
    )
    named = set(re.findall(rf"`(?:airflow_provider_iinked/)?((?:{packages})/[\w/]+\.py)`", page.read_text()))
    assert not {path for path in named if not (ROOT / "airflow_provider_iinked" / path).is_file()}


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: str(page.relative_to(DOCS)))
def test_code_that_a_page_includes_is_there(page):
    for block in re.findall(r"```\{literalinclude\} (.*?)```", page.read_text(), flags=re.DOTALL):
        source, *options = block.splitlines()
        file = (page.parent / source).resolve()
        assert file.exists(), source
        for mark in re.findall(r":(?:start-at|end-before): (.*)", "\n".join(options)):
            assert mark.strip('"') in file.read_text(), mark


SNIPPETS = [
    pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE))
]


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_code_in_a_page_is_python_and_what_it_imports_of_ours_exists(snippet):
    for node in ast.walk(ast.parse(snippet)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("airflow_provider_iinked"):
            module = importlib.import_module(node.module)
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


SIGNATURES = {
    name: inspect.signature(getattr(importlib.import_module(module), name).__init__)
    for module, name in (
        ("airflow_provider_iinked.operators.videos", "IinkedDownloadVideosOperator"),
        ("airflow_provider_iinked.operators.videos", "IinkedDeleteVideosOperator"),
        ("airflow_provider_iinked.operators.packages", "IinkedListPackagesOperator"),
        ("airflow_provider_iinked.operators.custody", "IinkedVerifyCopiesOperator"),
        ("airflow_provider_iinked.sensors.videos", "IinkedVideosArchivedSensor"),
        ("airflow_provider_iinked.triggers.videos", "IinkedVideosArchivedEventTrigger"),
    )
}


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_code_in_a_page_names_arguments_that_exist(snippet):
    of_airflow = {
        *inspect.signature(BaseOperator.__init__).parameters,
        *inspect.signature(BaseSensorOperator).parameters,
    }
    for node in ast.walk(ast.parse(snippet)):
        if isinstance(node, ast.Call) and (signature := SIGNATURES.get(getattr(node.func, "id", ""))):
            named = {keyword.arg for keyword in node.keywords if keyword.arg}
            assert named - set(signature.parameters) - of_airflow == set()


def test_each_module_that_airflow_lists_is_in_the_reference():
    reference = (DOCS / "reference" / "python.md").read_text()
    listed = {
        module
        for kind in ("hooks", "operators", "sensors", "triggers")
        for entry in get_provider_info()[kind]
        for module in entry["python-modules"]
    }
    assert {module for module in listed if module not in reference} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_names_a_folder_of_someones_machine(page):
    assert not re.search(r"(?<![\w.])/(?:work|home|root|Users)/", page.read_text())
