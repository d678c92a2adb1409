"""(b) One recording to local disk, hashed: ours, ``curl`` and ``openssl``, ``requests`` with ``response.content``."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.child import run_child
from benchmarks.simulator_process import Remote, simulator

SIZES = {"64 MiB": 64 << 20, "1 GiB": 1 << 30}
REPEATS = 3

_OURS = """
import logging
logging.disable(logging.CRITICAL)
from airflow_provider_iinked.operators.videos import IinkedDownloadVideosOperator
import airflow_provider_iinked.download.workflow
import airflow_provider_iinked.custody.provenance
import airflow_provider_iinked.hooks.iinked_sign
operator = IinkedDownloadVideosOperator(task_id="download", package_id={package!r}, destination="file://{folder}")
"""
_REQUESTS = """
import hashlib, requests
session = requests.Session()
session.trust_env = False
"""
_REQUESTS_WORK = """
answer = session.get({url!r})
with open("{folder}/copy", "wb") as file:
    file.write(answer.content)
hashlib.sha256(answer.content).hexdigest()
"""


def _ours(sim: Remote, package: str, video: str, folder: Path) -> dict[str, float]:
    return run_child(_OURS.format(package=package, folder=folder), "operator.execute({})", sim.environment)


def _requests(sim: Remote, package: str, video: str, folder: Path) -> dict[str, float]:
    return run_child(_REQUESTS, _REQUESTS_WORK.format(url=sim("url", video), folder=folder))


def _curl(sim: Remote, package: str, video: str, folder: Path) -> dict[str, float]:
    url, copy = sim("url", video), folder / "copy"
    begun = time.perf_counter()
    subprocess.run(["curl", "--noproxy", "*", "-sS", "-o", copy, url], check=True)
    subprocess.run(["openssl", "dgst", "-sha256", copy], check=True, stdout=subprocess.DEVNULL)
    return {"seconds": time.perf_counter() - begun, "peak_mib": float("nan")}


def run() -> list[list[str]]:
    """Measure each, in turns; the first turn is left out."""
    ways = {"ours": _ours, "curl, then openssl": _curl, "requests, response.content": _requests}
    rows = []
    for label, size in SIZES.items():
        with simulator() as sim:
            package = sim("add_package")
            video = sim("add_video", package, size=size)
            took: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
            for turn in range(REPEATS + 1):
                for name, way in ways.items():
                    folder = Path(tempfile.mkdtemp(prefix="iinked-bench-"))
                    try:
                        result = way(sim, package, video, folder)
                    finally:
                        shutil.rmtree(folder)
                    if turn:
                        took[name].append(result)
            for name, results in took.items():
                seconds = median(result["seconds"] for result in results)
                peak = max(result["peak_mib"] for result in results)
                rows.append(
                    [
                        label,
                        name,
                        f"{seconds:.2f}",
                        f"{size / seconds / 1e6:.0f}",
                        "-" if peak != peak else f"{peak:.0f}",
                    ]
                )
    return rows
