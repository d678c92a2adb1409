"""
A process that has imported everything and forks one child for each life of a task; run as a script.

Reads one JSON line for each life from stdin, answers with two on stdout: the child's pid, then how it ended. It is a
process of its own, so that no thread of the simulator is forked.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# C functions that change the world outside, or hear of it: a kill "at act n" falls right before the n-th of them.
ACTS = frozenset(
    {"open", "write", "link", "unlink", "replace", "rename", "fsync", "flock", "mkdir", "close", "scandir"}
    | {"connect", "send", "sendall", "recv_into"}
)


class KillAtAct:
    """Count acts in all threads, and end the process with SIGKILL right before one of them."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.count = 0

    def __call__(self, frame: Any, event: str, function: Any) -> None:
        if event != "c_call" or getattr(function, "__name__", "") not in ACTS:
            return
        self.count += 1
        if self.count == self.number:
            os.kill(os.getpid(), signal.SIGKILL)


def build_context(order: dict[str, Any]) -> dict[str, Any]:
    if not order["stamp"]:
        return {}
    return {"ti": SimpleNamespace(task_id=order["task"], **order["stamp"])}


def run_task(order: dict[str, Any]) -> Any:
    from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator

    operators = {
        "download": IinkedDownloadVideosOperator,
        "preview": IinkedDeleteVideosOperator,
        "delete": IinkedDeleteVideosOperator,
    }
    return operators[order["task"]](task_id=order["task"], **order["arguments"]).execute(build_context(order))


def live(order: dict[str, Any], result: int) -> None:
    acts = KillAtAct(order.get("kill_at_act") or 0)
    if order.get("count_acts") or acts.number:
        threading.setprofile(acts)
        sys.setprofile(acts)
    try:
        ended = {"xcom": run_task(order)}
    except Exception as error:
        ended = {"error": type(error).__name__, "message": str(error), "traceback": traceback.format_exc()}
    sys.setprofile(None)
    os.write(result, json.dumps({**ended, "acts": acts.count}).encode())


def main() -> None:
    # Airflow writes to stdout too; the answers get a descriptor of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    import_all()
    gc.freeze()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        os.environ.update(order["environment"])
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            live(order, writer)
            os._exit(0)
        os.close(writer)
        print(json.dumps({"pid": pid}), file=answers, flush=True)
        with os.fdopen(reader, "rb") as stream:
            told = stream.read()
        _, status = os.waitpid(pid, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        outcome = json.loads(told) if told and not killed else {}
        print(json.dumps({"killed": killed, **outcome}), file=answers, flush=True)


def import_all() -> None:
    import logging

    import airflow_provider_iinked.deletion.workflow
    import airflow_provider_iinked.download.workflow
    import airflow_provider_iinked.hooks.iinked_sign
    import airflow_provider_iinked.operators.videos  # noqa: F401

    logging.disable(logging.CRITICAL)
    open_vaults()
    warm_up()


def open_vaults() -> None:
    """Let destinations name the store of the tests that locks objects; its locks are shared by all processes."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.stateful import vault

    vault.open_vaults()
    vault.VaultStore.locks = vault.FileLocks()


def warm_up() -> None:
    """Have Airflow load what it loads when it is first asked for a connection or a storage; without any thread."""
    from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook
    from airflow_provider_iinked.storage import open_store

    os.environ["AIRFLOW_CONN_WARM_UP"] = json.dumps({"conn_type": "iinked_sign", "host": "localhost", "password": "x"})
    with contextlib.suppress(ImportError):  # only where the object stores are installed
        import s3fs  # noqa: F401
    with contextlib.suppress(ImportError):
        import gcsfs  # noqa: F401

        import airflow_provider_iinked.storage.azure
        import airflow_provider_iinked.storage.gcs
        import airflow_provider_iinked.storage.s3  # noqa: F401
    assert IinkedSignHook("warm_up").get_conn()
    assert open_store("file:///tmp")
    assert threading.active_count() == 1


if __name__ == "__main__":
    main()
