"""(h) ``custody verify`` of 200 packages on a store that takes 20 ms for each answer, with 1 and with 8 at a time."""

from __future__ import annotations

import tempfile

from benchmarks.child import run_child
from benchmarks.earlier import HERE
from benchmarks.simulator_process import simulator

PACKAGES = 200
DELAY = 0.02

_SLOW = f"""
import contextlib, io, time
from airflow_provider_iinked.custody.__main__ import main
from airflow_provider_iinked.storage.local import LocalStore
from airflow_provider_iinked.storage.registry import register_store

def late(name):
    answer = getattr(LocalStore, name)
    def wait_and_answer(self, *arguments, **options):
        time.sleep({DELAY})
        return answer(self, *arguments, **options)
    return wait_and_answer

names = ("info", "list_names", "read_json", "sha256")
register_store("file", type("SlowStore", (LocalStore,), {{name: late(name) for name in names}}))
"""
_VERIFY = """
with contextlib.redirect_stdout(io.StringIO()) as printed:
    code = main(["verify", "file://{folder}", "--max-parallel", "{parallel}"])
assert code == 0 and "{packages} ok" in printed.getvalue(), printed.getvalue()[-500:]
"""
_COPY = """
from airflow_provider_iinked.operators.videos import IinkedDownloadVideosOperator
IinkedDownloadVideosOperator(task_id="copy", package_id={packages}, destination="file://{folder}").execute({{}})
"""


def run() -> list[list[str]]:
    """Copy 200 packages once, then verify them with both settings."""
    with tempfile.TemporaryDirectory(prefix="iinked-verify-") as folder:
        with simulator() as sim:
            packages = [sim("add_package", videos=[{"size": 100_000}]) for _ in range(PACKAGES)]
            run_child("", _COPY.format(packages=packages, folder=folder), sim.environment, HERE)
        seconds = {
            parallel: run_child(_SLOW, _VERIFY.format(folder=folder, parallel=parallel, packages=PACKAGES), None, HERE)[
                "seconds"
            ]
            for parallel in (1, 8)
        }
    return [
        [f"`--max-parallel {parallel}`", f"{took:.2f}", f"{seconds[1] / took:.1f}"]
        for parallel, took in seconds.items()
    ]
