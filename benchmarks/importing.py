"""(d) What a Dag file pays for our operators and sensors, on top of ``airflow.sdk``; against the http provider."""

from __future__ import annotations

from statistics import median

from benchmarks.child import run_child

REPEATS = 7
OURS = (
    "from airflow_provider_iinked.operators import packages, videos; from airflow_provider_iinked.sensors import videos"
)
WHAT = {
    "ours: operators and sensors": OURS,
    "ours: with the task group": "import airflow_provider_iinked.task_groups.videos",
    "http provider: operators": "import airflow.providers.http.operators.http",
}
_BASE = """
try:
    from airflow.sdk import DAG, BaseOperator, BaseSensorOperator
except ImportError:
    from airflow import DAG
    from airflow.models import BaseOperator
    from airflow.sensors.base import BaseSensorOperator
"""


def run() -> list[list[str]]:
    """Measure each in fresh processes, in turns; the first turn is left out."""
    took: dict[str, list[float]] = {name: [] for name in WHAT}
    for turn in range(REPEATS + 1):
        for name, statement in WHAT.items():
            seconds = run_child(_BASE, statement)["seconds"]
            if turn:
                took[name].append(seconds)
    http = median(took["http provider: operators"])
    return [[name, f"{median(times) * 1000:.1f}", f"{http / median(times):.1f}"] for name, times in took.items()]
