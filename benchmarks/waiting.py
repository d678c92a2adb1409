"""
(a) Waits in one event loop: ours and the http provider's sensor trigger, each in a fresh process.

All waits start together, as a triggerer starts them. Then, for some intervals each: CPU time of the process with
nothing else in it; and the worst stall, seen by a task that wants to wake every 10 ms. A full garbage collection of a
process that has Airflow loaded takes a while, whatever the triggers do: stalls stand with and without it.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import gc
import json
import os
import subprocess
import sys
import time
from typing import Any

from benchmarks.counting_server import count, counting_server

INTERVAL = 5.0


def measure(which: str, waits: int, origin: str, rounds: int) -> dict[str, Any]:
    """Run one contestant in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.waiting", which, str(waits), origin, str(rounds)],
        capture_output=True,
        text=True,
        env=_environment(origin),
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{which}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _environment(origin: str) -> dict[str, str]:
    iinked = {"conn_type": "iinked_sign", "host": f"{origin}/api/v1", "password": "benchmark-key"}
    return {
        **os.environ,
        "AIRFLOW_CONN_IINKED_SIGN_DEFAULT": json.dumps(iinked),
        "AIRFLOW_CONN_HTTP_DEFAULT": json.dumps({"conn_type": "http", "host": origin}),
        "NO_PROXY": "127.0.0.1",
    }


def _make(which: str, number: int) -> Any:
    if which == "ours":
        from airflow_provider_iinked.triggers.videos import IinkedVideosArchivedTrigger

        return IinkedVideosArchivedTrigger(
            iinked_sign_conn_id="iinked_sign_default",
            package_id=f"c603079c-2dc7-4af7-8c2e-{number:012d}",
            meeting_video_ids="*",
            min_videos=1,
            on_failed="fail",
            on_deleted="fail",
            poll_interval=INTERVAL,
            end_time=time.time() + 3600,
            max_consecutive_errors=5,
        )
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    return HttpSensorTrigger(endpoint=f"waiting/{number:036d}", method="GET", poke_interval=INTERVAL)


async def _run(which: str, waits: int, origin: str, rounds: int) -> dict[str, Any]:
    async def drive(trigger: Any) -> None:
        async for event in trigger.run():
            raise RuntimeError(f"a wait ended: {event}")

    triggers = [_make(which, number) for number in range(waits)]
    before = _memory()
    _collector.worst = 0.0
    start_stall = _Stalls()
    tasks: list[asyncio.Task[None]] = []

    async def start() -> None:
        # As a triggerer does: one after the other, letting the loop breathe in between.
        for trigger in triggers:
            tasks.append(asyncio.create_task(drive(trigger)))
            await asyncio.sleep(0)

    await asyncio.gather(start(), start_stall.watch(INTERVAL * 2))
    await asyncio.to_thread(count, origin)
    memory = (_memory() - before) / waits

    cpu = time.process_time()
    await asyncio.sleep(INTERVAL * rounds)
    cpu = time.process_time() - cpu
    seen = await asyncio.to_thread(count, origin)

    steady = _Stalls()
    await steady.watch(INTERVAL * rounds)
    if failed := [task for task in tasks if task.done()]:
        failed[0].result()
    times = seen["times"]
    return {
        "requests_per_interval": len(times) / rounds,
        "most_in_250_ms": max(bisect.bisect_left(times, at + 0.25) - index for index, at in enumerate(times)),
        "even_share_of_250_ms": waits / INTERVAL * 0.25,
        "sockets": seen["sockets"],
        "cpu_ms_per_poll": cpu / len(times) * 1000,
        "worst_stall_ms": steady.worst * 1000,
        "worst_stall_own_ms": steady.own * 1000,
        "worst_stall_at_start_ms": start_stall.worst * 1000,
        "worst_stall_at_start_own_ms": start_stall.own * 1000,
        "worst_collection_ms": _collector.worst * 1000,
        "kib_per_wait": memory / 1024,
    }


class _Stalls:
    """How late a task wakes; `own` leaves out garbage collections, which belong to the whole process."""

    worst = own = 0.0

    async def watch(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (due := loop.time() + 0.01) < end:
            collected = _collector.total
            await asyncio.sleep(0.01)
            late = loop.time() - due
            self.worst = max(self.worst, late)
            self.own = max(self.own, late - (_collector.total - collected))


class _Collector:
    """Time that the interpreter spends on garbage collection."""

    def __init__(self) -> None:
        self.total = self.worst = self._begun = 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._begun = time.perf_counter()
        else:
            took = time.perf_counter() - self._begun
            self.total += took
            self.worst = max(self.worst, took)


_collector = _Collector()


def _memory() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def run(waits: int = 1000, rounds: int = 3) -> dict[str, dict[str, Any]]:
    """Measure both, one after the other."""
    results = {}
    for which in ("ours", "http"):
        with counting_server() as origin:
            results[which] = measure(which, waits, origin, rounds)
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("which")
    parser.add_argument("waits", type=int)
    parser.add_argument("origin")
    parser.add_argument("rounds", type=int)
    arguments = parser.parse_args()
    # What both write to their logs is written, but to nowhere: a pipe that is full would stall the loop.
    out = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    result = asyncio.run(_run(arguments.which, arguments.waits, arguments.origin, arguments.rounds))
    print(json.dumps(result), file=out, flush=True)
    os._exit(0)
