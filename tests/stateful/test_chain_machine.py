"""Runs the state machine; STATEFUL_EXAMPLES and STATEFUL_STEPS set how long, STATEFUL_SHRINK=1 shortens a failure."""

from __future__ import annotations

import logging
import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from airflow_provider_iinked.api import retries as patience
from airflow_provider_iinked.deletion import workflow as deletion_run
from tests.stateful.vault import open_vaults
from tests.stateful.world import TALLY

EXAMPLES = int(os.environ.get("STATEFUL_EXAMPLES", "12"))
STEPS = int(os.environ.get("STATEFUL_STEPS", "40"))


def test_no_history_loses_a_recording(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.stateful.machine import ChainMachine

    open_vaults()
    # Time constants only: how long a pause lasts, and for how long a lagging list is read again.
    monkeypatch.setattr(patience, "backoff", lambda attempt: 0.01)
    monkeypatch.setattr(deletion_run, "backoff", lambda attempt: 0.02)
    monkeypatch.setattr(deletion_run, "_CONFIRM_FOR", 0.2)
    from airflow_provider_iinked.download import downloader as fetch

    monkeypatch.setattr(fetch, "backoff", lambda attempt: 0.01)
    logging.disable(logging.CRITICAL)
    try:
        run_state_machine_as_test(
            ChainMachine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                phases=[Phase.generate, *([Phase.shrink] if os.environ.get("STATEFUL_SHRINK") else [])],
                derandomize="STATEFUL_EXAMPLES" not in os.environ,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        logging.disable(logging.NOTSET)
        with capsys.disabled():
            print("\n" + ", ".join(f"{count} {what}" for what, count in sorted(TALLY.items())))
