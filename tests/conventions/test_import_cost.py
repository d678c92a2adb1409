"""What our operators and sensors add to the parsing of a Dag file: a twentieth of the http provider's operator."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest
from airflow import __version__ as airflow_version

pytest.importorskip("airflow.providers.http")

SDK = """
import time
import airflow.sdk
"""
BASE = """
import time
try:
    import airflow.sdk
    # Attributes of airflow.sdk are loaded when they are asked for; every Dag file asks for these.
    from airflow.sdk import DAG, BaseOperator, task
except ImportError:
    from airflow import DAG
    from airflow.decorators import task
    from airflow.models.baseoperator import BaseOperator
"""
MEASURE = """
started = time.process_time()
{imports}
print("COST", time.process_time() - started)
"""
OURS = "import airflow_provider_iinked.operators.videos, airflow_provider_iinked.sensors.videos"
HTTP = "import airflow.providers.http.operators.http"


# What 3.0 loads for DAG holds most of what the http operator needs: on top of that our share is a thirteenth.
BELOW = SDK if airflow_version.startswith("3.0.") else BASE


def cost(imports: str) -> float:
    """Seconds of CPU in a process of its own, on top of what every Dag file loads."""
    code = BELOW + MEASURE.format(imports=imports)
    # Once compiled, it is not compiled again.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return float(done.stdout.partition("COST")[2].split()[0])


@pytest.mark.skipif(importlib.util.find_spec("airflow.sdk") is None, reason="the figure is on top of airflow.sdk")
def test_importing_operators_and_sensor_costs_a_twentieth_of_the_http_operator():
    # CPU, in turns, and the best of each: other work on the machine only ever adds to a figure.
    ours, http = cost(OURS), cost(HTTP)
    for _ in range(4):
        if ours <= http / 20:
            break
        ours, http = min(ours, cost(OURS)), min(http, cost(HTTP))
    print(f"\nours {ours * 1000:.1f} ms, http {http * 1000:.0f} ms, ratio 1/{http / ours:.0f}")
    assert ours <= http / 20


def test_what_is_heavy_is_not_loaded_by_a_dag_file():
    heavy = ("requests", "aiohttp", "isodate", "airflow_provider_iinked.simulator", "airflow_provider_iinked.hooks")
    check = f"""
import sys
before = set(sys.modules)
{OURS}
print("NEW", sorted(set({heavy!r}) & (set(sys.modules) - before)))
"""
    done = subprocess.run([sys.executable, "-c", BASE + check], capture_output=True, text=True, check=True)
    assert "NEW []" in done.stdout
