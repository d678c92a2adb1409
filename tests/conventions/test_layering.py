"""Imports point one way; what decides knows neither Airflow nor the network."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = "airflow_provider_iinked"
PACKAGE = ROOT / OURS
NETWORK = ("requests", "aiohttp", "urllib3", "socket", "http")


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    """Names of all modules that a module imports at run time, wherever in it."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


IMPORTS = {module_of(path): imports(path) for path in PACKAGE.rglob("*.py")}


def of(part: str) -> list[str]:
    name = f"{OURS}.{part}"
    return sorted(module for module in IMPORTS if module == name or module.startswith(f"{name}."))


def uses(module: str, *targets: str) -> set[str]:
    return {
        found for found in IMPORTS[module] for target in targets if found == target or found.startswith(f"{target}.")
    }


NO_AIRFLOW = ["models", "api", "arguments", "waiting.wait_condition", "deletion.plan", "deletion.target"]
NO_AIRFLOW += ["deletion.request", "custody.record", "custody.provenance", "download.response", "media.container"]
NO_AIRFLOW += ["download.hashing", "download.request", "download.errors", "deletion.result", "storage.url"]
NO_AIRFLOW += ["waiting.events"]
PURE = ["models", "api.retries", "api.protocol", "api.settings", *NO_AIRFLOW[2:]]


@pytest.mark.parametrize("part", NO_AIRFLOW)
def test_what_decides_imports_no_airflow(part):
    for module in of(part):
        assert uses(module, "airflow") == set()


@pytest.mark.parametrize("part", PURE)
def test_what_decides_imports_no_network(part):
    for module in of(part):
        assert uses(module, *NETWORK) == set()


def test_exceptions_import_nothing_of_airflow_but_exception_classes():
    found = uses(f"{OURS}.exceptions", "airflow")
    assert found
    assert all(name.endswith("sdk") or "Exception" in name.rpartition(".")[2] for name in found)


# Who must not import whom: the right-hand side lies above, or beside.
ABOVE = ["operators", "sensors", "triggers", "task_groups"]
FORBIDDEN = {
    "exceptions": [*ABOVE, "hooks", "api", "storage", "custody", "deletion", "download", "models"],
    "arguments": [*ABOVE, "hooks", "api", "storage", "custody", "deletion", "download", "models"],
    "models": [*ABOVE, "hooks", "api", "storage", "custody", "deletion", "download"],
    "waiting.wait_condition": [*ABOVE, "hooks", "api", "storage", "custody", "deletion", "download"],
    "api": [*ABOVE, "hooks", "storage", "custody", "deletion", "download"],
    "storage": [*ABOVE, "hooks", "custody", "deletion", "download", "models"],
    "custody.record": [*ABOVE, "hooks", "deletion", "download", "storage"],
    "download": [*ABOVE, "deletion"],
    "deletion": [*ABOVE],
    "hooks": [*ABOVE, "deletion"],
    "operators": ["sensors", "triggers", "task_groups"],
    "sensors": ["operators", "task_groups", "deletion", "storage", "download"],
    "triggers": ["operators", "sensors", "task_groups", "deletion", "storage", "download"],
}


@pytest.mark.parametrize("part", FORBIDDEN)
def test_imports_point_one_way(part):
    above = [f"{OURS}.{name}" for name in FORBIDDEN[part]]
    assert {module: found for module in of(part) if (found := uses(module, *above))} == {}


@pytest.mark.parametrize("part", [name for name in FORBIDDEN if name != "simulator"])
def test_nothing_imports_the_simulator(part):
    for module in of(part):
        assert uses(module, f"{OURS}.simulator") == set()


def test_no_module_lies_in_airflows_own_namespace():
    assert not (ROOT / "airflow").exists()


@pytest.mark.parametrize("module", [name for name in IMPORTS if ".simulator" not in name])
def test_no_module_names_its_kind(module):
    last = module.rpartition(".")[2]
    assert not last.endswith(("_hook", "_operator", "_sensor", "_trigger", "_operators", "_sensors"))
