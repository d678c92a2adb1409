from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
import requests

from airflow_provider_iinked.simulator import SEED_PACKAGE, IinkedSimulator
from airflow_provider_iinked.simulator.__main__ import main, size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest_plugins = ["airflow_provider_iinked.simulator.pytest_plugin"]
MODULE = "airflow_provider_iinked.simulator"
ROOM = "11111111-1111-4111-8111-111111111111"


def test_fixture_sets_the_connection(iinked_simulator):
    connection = json.loads(os.environ["AIRFLOW_CONN_IINKED_SIGN_DEFAULT"])
    assert connection == {
        "conn_type": "iinked_sign",
        "host": iinked_simulator.api_base,
        "password": iinked_simulator.api_key,
    }


def test_connection_takes_extras_and_another_id(sim):
    env = sim.connection_env("my_conn", max_retries=1)
    assert json.loads(env["AIRFLOW_CONN_MY_CONN"])["extra"] == {"max_retries": 1}


def test_import_is_cheap_and_knows_neither_airflow_nor_aiohttp():
    code = f"import sys, {MODULE}; print([m for m in ('airflow', 'aiohttp', 'requests') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_server_imports_nothing_of_the_client():
    code = (
        f"import sys, {MODULE}.server; print(sorted(m for m in sys.modules if m.startswith(('airflow.', "
        f"'airflow_provider_iinked.')) and not m.startswith('{MODULE}')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_addresses_need_a_start():
    with pytest.raises(RuntimeError, match="start it first"):
        _ = IinkedSimulator().api_base


def test_taken_port_is_named(sim):
    port = int(sim.recordings_base.rsplit(":", 1)[1])
    with pytest.raises(OSError, match=str(port)):
        IinkedSimulator(port=port).start()


@pytest.fixture
def command(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    ready, ledger = tmp_path / "ready.json", tmp_path / "ledger.jsonl"
    options = ["--ready-file", str(ready), "--ledger", str(ledger), "--big", "2M", "--packages", "2"]
    options += ["--archive-after", "3600", "--quirk", "list_deleted=False", "--api-key", "demo-key"]
    process = subprocess.Popen([sys.executable, "-m", MODULE, *options], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    yield process, {**json.loads(ready.read_text()), "ledger": str(ledger)}
    process.kill()
    process.wait()


def test_command_line_serves_the_well_known_packages(command):
    process, facts = command
    headers = {"api_key": "demo-key"}
    states = {}
    for package in (SEED_PACKAGE, ROOM, "44444444-4444-4444-8444-444444444444", "00000000-0000-4000-8000-000000000002"):
        answer = requests.get(f"{facts['api_base']}/packages/{package}/videos", headers=headers, timeout=30).json()
        states[package[:2]] = [video["state"] for video in answer["videos"]]
    assert states == {
        "c6": ["archived"],
        "11": ["archived", "archived", "started"],
        "44": ["failed", "archived"],
        "00": ["archived"],
    }
    process.send_signal(signal.SIGTERM)
    text, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "export AIRFLOW_CONN_IINKED_SIGN_DEFAULT=" in text
    with open(facts["ledger"], encoding="utf-8") as file:
        assert len(file.readlines()) == 4


def test_command_line_refuses_unknown_quirks(capsys):
    with pytest.raises(SystemExit):
        main(["--quirk", "acept_ranges=False"])
    assert "acept_ranges" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "value"), [("10", 10), ("3K", 3072), ("2m", 2 << 20), ("1G", 1 << 30)])
def test_sizes(text, value):
    assert size(text) == value
