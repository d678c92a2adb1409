"""
The whole job on a real Airflow: wait, download and verify, delete exactly what was verified, against the simulator.

Exit code 0 says that the simulator's ledger, the copies on disk and Airflow's XComs agree.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_provider_iinked.simulator import IinkedSimulator
from airflow_provider_iinked.simulator.demo import ROOM, fill, video_id
from demo.home import ROOT, make_environment, start_airflow
from demo.story import Story
from demo.verdict import Recording, judge, look

DAG_ID = "iinked_sign_chain"
FOLDER = ROOT / ".demo"
LOG = FOLDER / "airflow.log"
ARCHIVE_AFTER = 8.0
PATIENCE = 300.0


def main() -> int:
    """Run the demo; the exit code."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    with IinkedSimulator() as sim:
        story = Story(sim, ROOM)
        story.tell(f"simulator of iinked Sign at {sim.api_base}")
        env = make_environment(FOLDER, sim.connection_env())
        story.tell(f"new Airflow in {_short(FOLDER / 'airflow')}; what it says goes to {_short(LOG)}")
        if _run(sim, story, env, "db", "migrate") != 0:
            return _give_up("Airflow could not make its database")
        fill(sim, archive_after=ARCHIVE_AFTER)
        # The late recording is still on its way at the first look, however slow this machine is.
        sim.clock.freeze()
        story.tell(f"airflow dags test {DAG_ID}: package {ROOM}, three recordings, one still on its way")
        code = _run(sim, story, env, "dags", "test", DAG_ID)
        story.tell("the Dag run has ended" if code == 0 else f"`airflow dags test` ended with exit code {code}")
        outcome = _read_outcome(env)
        if outcome is None:
            return _give_up("Airflow's database could not be read")
        folder = FOLDER / "recordings" / ROOM
        recordings = [look(folder, video_id(ROOM, number)) for number in (1, 2, 3)]
        _print_recordings(sim, folder, recordings)
        _print_steps(outcome["tasks"])
        verdict = list(judge(sim, ROOM, recordings, outcome["tasks"]))
        verdict.insert(0, (code == 0 and outcome["state"] == "success", f"Airflow calls the run {outcome['state']}"))
    print("\nDo they agree?")
    for holds, what in verdict:
        print(f"  {'yes' if holds else 'NO '}  {what}")
    if not all(holds for holds, _ in verdict):
        return _give_up("Something does not agree")
    print(f"\nAll of it agrees. Look around in {_short(FOLDER)}; `make airflow` shows the same in Airflow's own pages.")
    return 0


def _run(sim: IinkedSimulator, story: Story, env: Mapping[str, str], *arguments: str) -> int:
    """Run an Airflow command to its end, telling what happens meanwhile."""
    process = start_airflow(env, LOG, *arguments)
    until = time.monotonic() + PATIENCE
    try:
        while process.poll() is None:
            if time.monotonic() > until:
                story.tell(f"`airflow {' '.join(arguments)}` took longer than {PATIENCE:.0f} s; stopped")
                return 1
            if story.catch_up():
                sim.clock.unfreeze()
            time.sleep(0.1)
        story.catch_up()
        return process.returncode
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _read_outcome(env: Mapping[str, str]) -> dict[str, Any] | None:
    command = [sys.executable, "-m", "demo.outcome", DAG_ID]
    done = subprocess.run(command, env=dict(env), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    with LOG.open("a") as log:
        log.write(done.stderr)
    if done.returncode != 0:
        return None
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _print_recordings(sim: IinkedSimulator, folder: Path, recordings: list[Recording]) -> None:
    gone = {deletion.video_id: deletion for deletion in sim.ledger.deletion_records}
    print(f"\nCopies, custody records and receipts in {_short(folder)}\n")
    print(f"{'copy':43}{'bytes':>10}  {'sha256':14}{'custody record':16}{'receipt':9}on the platform")
    for one in recordings:
        deletion = gone.get(one.video_id)
        state = "deleted " + time.strftime("%H:%M:%S", time.localtime(deletion.time)) if deletion else "kept"
        name = one.copy.name if one.copy else f"{one.video_id}: none"
        digest = f"{one.sha256[:10]}.." if one.copy else "-"
        print(f"{name:43}{one.size:>10,}  {digest:14}{_tick(one.record):16}{_tick(one.receipt):9}{state}")


def _print_steps(tasks: Mapping[str, Mapping[str, Any]]) -> None:
    print(f"\n{'step':12}{'state':12}{'seconds':>8}")
    for name, task in tasks.items():
        seconds = f"{task['end'] - task['start']:8.1f}" if task["end"] else f"{'-':>8}"
        print(f"{name:12}{task['state']:12}{seconds}")


def _tick(path: Path | None) -> str:
    return "written" if path else "MISSING"


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _give_up(why: str) -> int:
    print(f"\n{why}. What Airflow said is in {_short(LOG)}.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
