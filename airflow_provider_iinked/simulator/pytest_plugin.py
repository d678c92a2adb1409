"""The fixture ``iinked_simulator``: ``pytest_plugins = ["airflow_provider_iinked.simulator.pytest_plugin"]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_iinked.simulator import IinkedSimulator


@pytest.fixture
def iinked_simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[IinkedSimulator]:
    """A fresh, empty simulator, which the connection ``iinked_sign_default`` leads to.

    :param monkeypatch: pytest's own fixture.
    """
    # Imported late, so that a test session that never asks for it does not load aiohttp.
    from airflow_provider_iinked.simulator.server import IinkedSimulator

    with IinkedSimulator() as simulator:
        for name, value in simulator.connection_env().items():
            monkeypatch.setenv(name, value)
        yield simulator
