"""(e) The chain for 50 packages on LocalExecutor and PostgreSQL: tasks, wall time, and how much of it is ours."""

from __future__ import annotations

import textwrap

from benchmarks.simulator_process import simulator

PACKAGES = 50

DAG = """
# a dag of airflow
import time
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_iinked.task_groups.videos import archive_and_delete_videos

def note(context, result=None):
    ti = context["ti"]
    with open({notes!r}, "a") as file:
        file.write(f"{{ti.task_id}} {{ti.map_index}} {{time.time()}}\\n")

with DAG(dag_id="chain", start_date=datetime(2026, 1, 1), schedule=None, max_active_tasks=300) as dag:
    archive_and_delete_videos.override(default_args={{"pre_execute": note, "post_execute": note}}).partial(
        destination={destination!r}
    ).expand(package_id={packages!r})
"""


def run() -> list[list[str]]:
    """Run the Dag once and read what became of it from Airflow's database."""
    from tests.deployment.deployment import running, until

    with simulator() as sim:
        packages = [sim("add_package", videos=[{"size": 1_000_000}] * 2) for _ in range(PACKAGES)]
        with running(sim.environment) as airflow:
            notes = airflow.home / "notes"
            text = DAG.format(notes=str(notes), destination=f"file://{airflow.home}/copies", packages=packages)
            (airflow.dags / "chain.py").write_text(textwrap.dedent(text))
            airflow.trigger("chain")
            ended = "select state from dag_run where dag_id = 'chain' and state in ('success', 'failed')"
            state = until(lambda: airflow.query(ended), 3600, "the run ends")
            if state != [("success",)] or len(sim("ledger.deletions")) != 2 * PACKAGES:
                raise RuntimeError(f"the chain failed: {state} {airflow.logs()}")
            ((tasks, wall, durations),) = airflow.query(
                "select count(*), extract(epoch from max(ti.end_date) - min(r.start_date)), sum(ti.duration) "
                "from task_instance ti join dag_run r using (dag_id, run_id) where dag_id = 'chain'"
            )
            ours = _between(notes.read_text())
    return [
        ["tasks started", str(tasks)],
        ["wall time of the run, s", f"{float(wall):.0f}"],
        ["tasks a second", f"{tasks / float(wall):.1f}"],
        ["durations of all tasks, as Airflow tells them, s", f"{float(durations):.0f}"],
        ["of which in our execute(), s", f"{ours:.1f}"],
        ["ours a task, s", f"{ours / tasks:.3f}"],
        ["share of ours in these durations", f"{100 * ours / float(durations):.0f} %"],
    ]


def _between(notes: str) -> float:
    """Add up the time between the two notes of each task."""
    times: dict[tuple[str, str], list[float]] = {}
    for line in notes.splitlines():
        task, index, at = line.split()
        times.setdefault((task, index), []).append(float(at))
    return sum(max(pair) - min(pair) for pair in times.values())
