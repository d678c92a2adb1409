"""Counters, as they arrive at a StatsD server: the chain runs in a process whose Airflow is told to send them."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections import Counter

import pytest

pytest.importorskip("statsd")

CHAIN = """
import sys, time
from contextlib import suppress

# What Airflow does when it starts a task; before 3.2 its Stats settle themselves.
with suppress(ImportError):
    from airflow.sdk.execution_time import task_runner
    if hasattr(task_runner, "stats"):
        task_runner.stats.initialize(factory=task_runner.stats_utils.get_stats_factory(), export_legacy_names=False)
    elif hasattr(task_runner, "stats_utils"):
        task_runner.Stats.initialize(factory=task_runner.stats_utils.get_stats_factory(task_runner.Stats))

from airflow_provider_iinked.exceptions import IinkedSignError
from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator
from airflow_provider_iinked.sensors.videos import IinkedVideosArchivedSensor

package, folder = sys.argv[1:]
IinkedVideosArchivedSensor(task_id="wait", package_id=package).execute({})
copies = IinkedDownloadVideosOperator(task_id="download", package_id=package, destination=f"file://{folder}").execute({})
IinkedDeleteVideosOperator(task_id="preview", verified_copies=copies, preview=True).execute({})
with open(copies[0]["uri"].removeprefix("file://"), "ab") as copy:
    copy.write(b"x")
with suppress(IinkedSignError):
    IinkedDeleteVideosOperator(task_id="delete", verified_copies=copies).execute({})
"""


def received(server):
    """The counters that came, added up: on the loopback, all that was sent has come."""
    server.settimeout(0.5)
    total = Counter()
    try:
        while True:
            for name, value in re.findall(r"iinked_sign\.(\w+):(\d+)\|c", server.recv(65536).decode()):
                total[name] += int(value)
    except TimeoutError:
        return dict(total)


def test_polls_copies_bytes_deletions_and_refusals_are_counted(iinked_simulator, tmp_path):
    package = iinked_simulator.add_package()
    for _ in range(3):
        iinked_simulator.add_video(package, size=100_000)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        env = {
            **os.environ,
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(server.getsockname()[1]),
        }
        command = [sys.executable, "-W", "ignore", "-c", CHAIN, package, str(tmp_path / "copies")]
        subprocess.run(command, env=env, check=True, capture_output=True, timeout=120)
        assert received(server) == {
            "polls": 1,
            "videos_copied": 3,
            "bytes_copied": 300_000,
            "videos_deleted": 2,
            "videos_refused": 1,
        }
