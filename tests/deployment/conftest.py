"""One Airflow and one simulator for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_iinked.simulator import IinkedSimulator
from tests.deployment.deployment import Deployment, postgres_binaries, running


@pytest.fixture(scope="session")
def sim() -> Iterator[IinkedSimulator]:
    pytest.importorskip("psycopg2", reason="needs psycopg2-binary")
    if postgres_binaries() is None:
        pytest.skip("needs PostgreSQL's server (Debian: postgresql)")
    with IinkedSimulator() as simulator:
        yield simulator


@pytest.fixture(scope="session")
def deployment(sim: IinkedSimulator) -> Iterator[Deployment]:
    with running(sim.connection_env()) as airflow:
        yield airflow
