"""
(c) Deleting 500 recordings by id at 2 ms server latency: ours, and a bare ``requests.Session`` loop.

Both run in a process that has Airflow loaded, as a task does; its garbage collections cost both the same.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.child import run_child
from benchmarks.simulator_process import simulator

COUNT = 500
REPEATS = 5

_OURS = """
import logging
logging.disable(logging.CRITICAL)
from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator
import airflow_provider_iinked.deletion.workflow, airflow_provider_iinked.hooks.iinked_sign
operator = IinkedDeleteVideosOperator(task_id="delete", package_id={package!r}, meeting_video_ids={ids!r}{receipts})
"""
_BARE = """
import logging
logging.disable(logging.CRITICAL)
import airflow_provider_iinked.operators.videos, airflow_provider_iinked.hooks.iinked_sign
import json, os, requests
connection = json.loads(os.environ["AIRFLOW_CONN_IINKED_SIGN_DEFAULT"])
base = connection["host"]
session = requests.Session()
session.trust_env = False
session.headers["api_key"] = connection["password"]
"""
_BARE_WORK = """
session.get(f"{{base}}/packages/{package}/videos").json()
for video in {ids!r}:
    body = {{"packageId": {package!r}, "meetingVideoId": video}}
    session.post(f"{{base}}/packages/{package}/videos/delete", json=body).json()
session.get(f"{{base}}/packages/{package}/videos").json()
"""


def run() -> list[list[str]]:
    """Measure each, in turns; the first turn is left out."""
    results: dict[str, list[tuple[float, int, int]]] = {}
    for turn in range(REPEATS + 1):
        for name in ("ours", "ours, with receipts", "bare requests.Session loop"):
            folder = Path(tempfile.mkdtemp(prefix="iinked-bench-"))
            try:
                with simulator(latency=0.002) as sim:
                    package = sim("add_package")
                    ids = [sim("add_video", package) for _ in range(COUNT)]
                    values = {"package": package, "ids": ids, "receipts": ""}
                    if name == "ours, with receipts":
                        values["receipts"] = f', receipt_destination="file://{folder}"'
                    if name.startswith("ours"):
                        took = run_child(_OURS.format(**values), "operator.execute({})", sim.environment)
                    else:
                        took = run_child(_BARE, _BARE_WORK.format(**values), sim.environment)
                    if len(sim("ledger.deletions")) != COUNT:
                        raise RuntimeError(f"{name}: not all were deleted")
                    if turn:
                        seen = (took["seconds"], len(sim("ledger.requests")), sim("ledger.sockets", host="api"))
                        results.setdefault(name, []).append(seen)
            finally:
                shutil.rmtree(folder)
    bare = median(seconds for seconds, _, _ in results["bare requests.Session loop"])
    rows = []
    for name, seen in results.items():
        seconds = median(entry[0] for entry in seen)
        rows.append([name, f"{seconds:.2f}", f"{bare / seconds:.2f}", str(seen[0][1]), str(seen[0][2])])
    return rows
