"""A task with many packages needs little more memory than one with few; `make bench` shows 1,000 beside 10."""

from __future__ import annotations

import os

import pytest

from benchmarks.batch_memory import STEPS, measure
from benchmarks.simulator_process import simulator

FEW, MANY = 10, 300
ALLOWED_FOR_1000 = 64.0

pytestmark = pytest.mark.skipif("BATCH_MEMORY" not in os.environ, reason="takes most of a minute: make test-long")


@pytest.fixture(scope="module")
def peaks() -> tuple[dict[str, float], dict[str, float]]:
    """Peak memory of each step in MiB, with few packages and with many."""
    with simulator() as sim:
        return measure(sim, FEW), measure(sim, MANY)


@pytest.mark.parametrize("step", STEPS)
def test_memory_grows_by_less_than_64_mib_for_a_thousand_packages(
    peaks: tuple[dict[str, float], dict[str, float]], step: str
) -> None:
    few, many = peaks
    assert many[step] - few[step] <= ALLOWED_FOR_1000 * (MANY - FEW) / 1000
