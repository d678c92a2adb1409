"""An Airflow in a folder of its own, untouched by what is set outside."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "example_dags"


def make_environment(folder: Path, connection: Mapping[str, str], **settings: str) -> dict[str, str]:
    """
    Give the environment variables of an Airflow that lives in a folder.

    :param folder: the folder; copies, receipts and Airflow's own files go below it.
    :param connection: the variables that define the connection.
    :param settings: further variables.
    :return: all variables.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return {
        **env,
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW_VAR_IINKED_DESTINATION": f"file://{folder}/recordings",
        "AIRFLOW_VAR_IINKED_RECEIPTS": f"file://{folder}/receipts",
        # The simulator is on this machine; a proxy would not find it.
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "PYTHONWARNINGS": "ignore",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', '')}",
        **connection,
        **settings,
    }


def start_airflow(env: Mapping[str, str], log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """
    Start an Airflow command; what it prints goes to a file.

    :param env: its environment.
    :param log: the file, to which it appends.
    :param arguments: the command line, after ``airflow``.
    :return: the process, which leads a group of its own.
    """
    command = [sys.executable, "-m", "airflow", *arguments]
    with log.open("ab") as output:
        return subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
