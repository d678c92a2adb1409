from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_iinked.simulator import IinkedSimulator
from tests.crash.victim import Zygote


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    process = Zygote()
    yield process
    process.close()


@pytest.fixture
def sim() -> Iterator[IinkedSimulator]:
    with IinkedSimulator() as simulator:
        yield simulator
