"""What Airflow's provider discovery reads: valid by Airflow's own schema, and complete."""

from __future__ import annotations

import importlib
import json
import tomllib
from importlib import metadata, resources
from pathlib import Path

import pytest

from airflow_provider_iinked import __version__
from airflow_provider_iinked.get_provider_info import get_provider_info

ROOT = Path(__file__).parents[2]
INFO = get_provider_info()
KINDS = ("operators", "sensors", "hooks", "triggers")


def listed(kind: str) -> set[str]:
    return {module for entry in INFO.get(kind, []) for module in entry["python-modules"]}


def test_it_fits_airflows_schema():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(resources.files("airflow").joinpath("provider_info.schema.json").read_text())
    jsonschema.validate(INFO, schema)


def test_its_name_is_that_of_the_distribution():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert INFO["package-name"] == project["name"] == "airflow-provider-iinked"
    entry = project["entry-points"]["apache_airflow_provider"]["provider_info"]
    module, _, name = entry.partition(":")
    assert getattr(importlib.import_module(module), name) is get_provider_info


@pytest.mark.parametrize("kind", KINDS)
def test_each_module_that_is_listed_imports(kind):
    for module in listed(kind):
        assert importlib.import_module(module)


BASES = {
    "operators": ("BaseOperator",),
    "sensors": ("BaseSensorOperator",),
    "hooks": ("BaseHook",),
    "triggers": ("BaseTrigger", "BaseEventTrigger"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_module_with_something_of_that_kind_is_listed(kind):
    found = {
        f"airflow_provider_iinked.{kind}.{path.stem}"
        for path in (ROOT / "airflow_provider_iinked" / kind).glob("*.py")
        if any(f"({base})" in path.read_text() for base in BASES[kind])
    }
    assert found
    assert found <= listed(kind)


def test_each_link_that_is_listed_imports():
    for name in INFO.get("extra-links", []):
        module, _, kind = name.rpartition(".")
        assert getattr(importlib.import_module(module), kind)


def test_the_version_that_is_installed_is_that_of_the_code():
    try:
        installed = metadata.version("airflow-provider-iinked")
    except metadata.PackageNotFoundError:
        pytest.skip("run from the sources, not installed")
    assert installed == __version__


def test_each_retry_policy_that_is_listed_imports():
    for entry in INFO["retry-policies"]:
        assert entry.keys() == {"integration-name", "python-modules"}
        for module in entry["python-modules"]:
            assert importlib.import_module(module)


def test_each_command_that_is_listed_is_a_function():
    for name in INFO["cli"]:
        module, _, function = name.rpartition(".")
        assert callable(getattr(importlib.import_module(module), function))
