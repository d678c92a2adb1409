"""(i) Peak memory of a task that has 10 packages, and of one that has 1,000, each with one recording."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.child import run_child
from benchmarks.earlier import HERE
from benchmarks.simulator_process import Remote, simulator

FEW, MANY = 10, 1_000
_WAIT = """
import time
from airflow_provider_iinked.sensors.videos import IinkedVideosArchivedSensor
sensor = IinkedVideosArchivedSensor(task_id="wait", package_id={packages}, poke_interval=1, timeout=300)
assert len(sensor.execute({{}})) == {count}
"""
_TRIGGER = """
import asyncio, time
from airflow_provider_iinked.triggers.videos import IinkedVideosArchivedTrigger

async def wait():
    trigger = IinkedVideosArchivedTrigger(
        iinked_sign_conn_id="iinked_sign_default", package_id={packages}, meeting_video_ids="*", min_videos=1,
        on_failed="fail", on_deleted="fail", poll_interval=5.0, end_time=time.time() + 300, max_consecutive_errors=5,
    )
    return [event async for event in trigger.run()]

(event,) = asyncio.run(wait())
assert len(event.payload["answer"]) == {count}, event.payload
"""
_DOWNLOAD = """
import json
from airflow_provider_iinked.operators.videos import IinkedDownloadVideosOperator
download = IinkedDownloadVideosOperator(task_id="download", package_id={packages}, destination="file://{folder}")
copies = download.execute({{}})
assert len(copies) == {count}
json.dump(copies, open("{folder}/copies.json", "w"))
"""
_DELETE = """
import json
from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator
copies = json.load(open("{folder}/copies.json"))
responses = IinkedDeleteVideosOperator(task_id="delete", verified_copies=copies).execute({{}})
assert sum(len(response["videos"]) for response in responses) == {count}
"""
STEPS = {
    "sensor, one poke": _WAIT,
    "trigger": _TRIGGER,
    "download": _DOWNLOAD,
    "delete, each copy read again": _DELETE,
}


def run() -> list[list[str]]:
    """Measure each step in a process of its own, with few and with many packages."""
    with simulator() as sim:
        few, many = measure(sim, FEW), measure(sim, MANY)
    return [[step, f"{few[step]:.0f}", f"{many[step]:.0f}", f"{many[step] - few[step]:.0f}"] for step in STEPS]


def measure(sim: Remote, count: int) -> dict[str, float]:
    """
    Take so many packages through all steps.

    :param sim: the simulator.
    :param count: packages.
    :return: peak memory of each step's process, MiB.
    """
    packages = [sim("add_package", videos=[{"size": 200_000}]) for _ in range(count)]
    with tempfile.TemporaryDirectory(prefix="iinked-memory-") as folder:
        given = {"packages": packages, "count": count, "folder": Path(folder)}
        return {
            step: run_child("", work.format(**given), sim.environment, HERE)["peak_mib"] for step, work in STEPS.items()
        }
