"""Run a snippet of Python in a fresh process that tells its own time, memory and CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

_FRAME = """
import json, resource, time
{setup}
_start, _cpu = time.perf_counter(), time.process_time()
{work}
_took, _cpu = time.perf_counter() - _start, time.process_time() - _cpu
_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print("RESULT", json.dumps({{"seconds": _took, "cpu": _cpu, "peak_mib": _peak}}))
"""


def run_child(
    setup: str, work: str, environment: dict[str, str] | None = None, folder: Path | None = None
) -> dict[str, float]:
    """
    Measure a snippet.

    :param setup: what is not measured, such as imports.
    :param work: what is measured.
    :param environment: further environment variables.
    :param folder: where it runs: it imports the package from there.
    :return: ``seconds``, ``cpu`` (seconds) and ``peak_mib`` of the process.
    """
    source = _FRAME.format(setup=textwrap.dedent(setup), work=textwrap.dedent(work))
    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_PROXY": "127.0.0.1", **(environment or {})},
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise RuntimeError(done.stderr[-3000:])
    result: dict[str, Any] = json.loads(lines[-1].removeprefix("RESULT "))
    return result
