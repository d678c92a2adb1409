"""docs/testing.md has to name what exists: quirks with their defaults, kinds of faults, packages."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import get_args

import pytest

from airflow_provider_iinked.simulator import Fault, IinkedSimulator, Quirks, demo
from airflow_provider_iinked.simulator.faults import Kind

TEXT = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Quirks)])
def test_every_quirk_is_explained(name):
    assert f"`{name}`" in TEXT.split("A **quirk**")[1]


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_fault_is_explained(kind):
    assert re.search(rf"^\| .*`{kind}`.* \|", TEXT, re.MULTILINE)


@pytest.mark.parametrize("package", [demo.ROOM, demo.PAIR, demo.EMPTY, demo.HALF_FAILED, demo.BIG])
def test_every_package_is_named(package):
    assert f"`{package}`" in TEXT


def test_examples_of_faults_and_ledger_run():
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    chosen = [block for block in blocks if "sim.faults.add" in block or "sim.clock" in block]
    with IinkedSimulator() as sim:
        for block in chosen:
            exec(block, {"sim": sim, "video": "v"})
    assert len(chosen) == 2
    assert Fault.__doc__
