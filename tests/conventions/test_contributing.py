"""The walk of docs/contributing.md: its code, put where it says, reads a status from the simulator."""

from __future__ import annotations

import importlib
import re
import textwrap
from pathlib import Path

import pytest

from airflow_provider_iinked.exceptions import InvalidArgumentError, PackageNotFoundError
from airflow_provider_iinked.operators import packages

PAGE = Path(__file__).parents[2] / "docs" / "contributing.md"
BLOCK = re.compile(r"^ *```python\n *# (\S+)\.py(?:, in (\w+))?\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


@pytest.fixture
def operator(monkeypatch):
    """Do as the page says; the operator that comes of it."""
    blocks = BLOCK.findall(PAGE.read_text())
    assert [place for place, _, _ in blocks] == ["api/protocol", "hooks/iinked_sign", "operators/packages"]
    for place, inside, code in blocks:
        module = importlib.import_module(f"airflow_provider_iinked.{place.replace('/', '.')}")
        target = getattr(module, inside) if inside else module
        written = {}
        exec("from __future__ import annotations\n" + textwrap.dedent(code), vars(module).copy(), written)
        for name, value in written.items():
            if name != "annotations":
                monkeypatch.setattr(target, name, value, raising=False)
    return lambda package_id: packages.IinkedPackageStatusOperator(task_id="status", package_id=package_id)


def test_the_call_is_made_as_documented_and_its_answer_returned(chain, operator):
    package = chain.sim.add_package(state="executed")

    assert operator(package).execute({}) == "executed"
    (request,) = chain.ledger.requests(call="status")
    assert (request.method, request.path) == ("GET", f"/api/v1/packages/{package}/status")


def test_a_bad_id_is_refused_before_any_request(chain, operator):
    with pytest.raises(InvalidArgumentError, match="package_id"):
        operator("None").execute({})
    assert chain.ledger.requests() == []


def test_errors_need_no_code_of_their_own(chain, operator):
    with pytest.raises(PackageNotFoundError):
        operator("no-such-package").execute({})
