"""
(f) The nightly sweep of 300 packages with one recording each, from the first task's start to the last task's end.

Both Dags are the example of their commit: one mapped task a package then, batches of 50 now.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.earlier import COMMIT, HERE, earlier_commit
from benchmarks.simulator_process import simulator

PACKAGES = 300
SIZE = 200_000
DAG_ID = "iinked_sign_nightly_sweep"


def run() -> list[list[str]]:
    """Run both, the earlier one first."""
    with earlier_commit() as folder:
        then = _sweep(folder)
    now = _sweep(HERE)
    return [
        [f"commit {COMMIT}, a mapped task a package", *_row(*then), "1.0"],
        ["now, `batch_size=50`", *_row(*now), f"{then[0] / now[0]:.1f}"],
    ]


def _row(seconds: float, tasks: int) -> list[str]:
    return [str(tasks), f"{seconds:.1f}", f"{PACKAGES / seconds:.1f}"]


def _sweep(source: Path) -> tuple[float, int]:
    """
    Run the example Dag of a folder with the package of that folder.

    :return: seconds, and how many tasks ran.
    """
    from tests.deployment.deployment import running, until

    with simulator() as sim:
        for _ in range(PACKAGES):
            sim("add_package", videos=[{"size": SIZE}])
        environment = {**sim.environment, "AIRFLOW_VAR_IINKED_DESTINATION": "file://{home}/copies"}
        with running(environment, source) as airflow:
            example = source / "example_dags" / f"{DAG_ID}.py"
            # By hand, not by its schedule: unpaused, it would run twice.
            text = example.read_text().replace('schedule="30 2 * * *"', "schedule=None")
            (airflow.dags / example.name).write_text(text)
            airflow.trigger(DAG_ID)
            ended = "select state from dag_run where state in ('success', 'failed')"
            state = until(lambda: airflow.query(ended), 1200, "the run ends")
            if state != [("success",)] or len(set(sim("ledger.deletions"))) != PACKAGES:
                raise RuntimeError(f"the sweep failed: {state} {airflow.logs()}")
            ((seconds, tasks),) = airflow.query(
                "select extract(epoch from max(end_date) - min(start_date)), count(*) from task_instance"
            )
    return float(seconds), tasks
