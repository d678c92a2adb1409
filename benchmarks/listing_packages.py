"""(g) ``with_archived_videos=True`` over 500 packages, each answer of the API 20 ms late, and under a ceiling."""

from __future__ import annotations

from benchmarks.child import run_child
from benchmarks.earlier import COMMIT, HERE, earlier_commit
from benchmarks.simulator_process import simulator

PACKAGES = 500
LATENCY = 0.02
CEILING = 100

_SETUP = """
from airflow_provider_iinked.operators.packages import IinkedListPackagesOperator
list_packages = IinkedListPackagesOperator(task_id="list", all_members=True, with_archived_videos=True)
list_packages.execute({})
"""
_WORK = f"""
found = list_packages.execute({{}})
assert len(found) == {PACKAGES}, len(found)
"""


def run() -> list[list[str]]:
    """Measure the earlier commit, this one, and this one under ``max_requests_per_second``."""
    with simulator(latency=LATENCY) as sim, earlier_commit() as folder:
        for _ in range(PACKAGES):
            sim("add_package", videos=[{"size": 10_000}])
        connection = sim("connection_env", timeout=60)
        limited = sim("connection_env", timeout=60, max_requests_per_second=CEILING)
        then = run_child(_SETUP, _WORK, connection, folder)["seconds"]
        now = run_child(_SETUP, _WORK, connection, HERE)["seconds"]
        sim("ledger.clear")
        held = run_child(_SETUP, _WORK, limited, HERE)["seconds"]
        times = sorted(request.time for request in sim("ledger.requests", host="api"))
    busiest = max(sum(at <= other < at + 1 for other in times) for at in times)
    return [
        [f"commit {COMMIT}, one request at a time", f"{then:.2f}", "1.0"],
        ["now, `max_parallel=8`", f"{now:.2f}", f"{then / now:.1f}"],
        [f"now, `max_requests_per_second={CEILING}`: at most {busiest} in any second", f"{held:.2f}", "-"],
    ]
