"""``airflow standalone`` with the example Dags and the simulator, until Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

from airflow_provider_iinked.simulator import IinkedSimulator
from airflow_provider_iinked.simulator.demo import fill
from demo.home import ROOT, make_environment, start_airflow

# A new one each time: the simulator starts with the same recordings, which older copies would not agree with.
FOLDER = ROOT / ".airflow"
LOG = FOLDER / "airflow.log"
HOST = "127.0.0.1"
USER = "admin"
USUAL_PORT = 8080
PATIENCE = 600.0


def main() -> int:
    """Run until Ctrl-C; the exit code."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    shutil.rmtree(FOLDER, ignore_errors=True)
    (FOLDER / "airflow").mkdir(parents=True)
    port = int(os.environ.get("PORT") or _free_port(USUAL_PORT, 0))
    with IinkedSimulator() as sim:
        fill(sim, archive_after=120, packages=5)
        passwords = FOLDER / "passwords.json"
        login = _write_login(passwords)
        env = make_environment(
            FOLDER,
            sim.connection_env(),
            AIRFLOW__API__HOST=HOST,
            AIRFLOW__API__PORT=str(port),
            AIRFLOW__API__BASE_URL=f"http://{HOST}:{port}",
            AIRFLOW__CORE__EXECUTION_API_SERVER_URL=f"http://{HOST}:{port}/execution/",
            AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS=f"{USER}:admin",
            AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE=str(passwords),
            AIRFLOW__CORE__TEST_CONNECTION="Enabled",
            # Another Airflow on this machine may hold the usual ports.
            AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT=str(_free_port(0)),
            AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT=str(_free_port(0)),
        )
        print(f"Simulator of iinked Sign at {sim.api_base}; starting Airflow, which takes half a minute or more ...")
        process = start_airflow(env, LOG, "standalone")
        try:
            if not _wait_until_healthy(process, port, stop):
                return 0 if stop.is_set() else _give_up()
            print(f"\n  http://{HOST}:{port}   user {USER}   password {login}\n")
            print("Trigger iinked_sign_chain; switch on the others when you like. Copies go to .airflow/recordings,")
            print("what Airflow says to .airflow/airflow.log. Ctrl-C stops both.", flush=True)
            while process.poll() is None and not stop.wait(1):
                pass
            return 0 if stop.is_set() else _give_up()
        finally:
            _stop(process)


def _write_login(path: Path) -> str:
    password = secrets.token_urlsafe(9)
    path.touch(mode=0o600)
    path.write_text(json.dumps({USER: password}))
    return password


def _free_port(*wanted: int) -> int:
    """The first of the ports that is free; 0 stands for any."""
    for port in wanted:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    raise SystemExit("There is no free port.")


def _wait_until_healthy(process: subprocess.Popen[bytes], port: int, stop: threading.Event) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None and not stop.wait(1):
        with contextlib.suppress(OSError, ValueError):
            with opener.open(f"http://{HOST}:{port}/api/v2/monitor/health", timeout=5) as answer:
                health = json.load(answer)
            if all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor")):
                return True
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End Airflow and all that it started."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    print("\nStopped.")


def _give_up() -> int:
    print(f"Airflow ended or did not get ready; see {LOG.relative_to(ROOT)}.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
