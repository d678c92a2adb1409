"""
Every schedule of answers in every mode, with and without soft_fail: equal outcomes.

A schedule is told by the number of the request, not by time, so that each mode sees the same. Airflow itself runs the
tasks; the outcome is the task's state, how often it was tried (an error that a retry may help is tried twice), and
the ids it passes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_iinked.simulator import Fault, IinkedSimulator

MODES = {"poke": {"mode": "poke"}, "reschedule": {"mode": "reschedule"}, "deferrable": {"deferrable": True}}
GOOD = ("success", 1)
FOR_GOOD = ("failed", 1)
RETRIED = ("failed", 2)


def listed(**states: str) -> dict[str, Any]:
    """An answer of the API: the recordings and their states."""
    return {"status": 200, "states": states}


def status(code: int, error: str | None = None, **headers: str) -> dict[str, Any]:
    return {"status": code, "body": {"error": error, "message": "no"} if error else None, "headers": headers}


@dataclass(frozen=True)
class Schedule:
    """
    The answers in order, the last one for ever; the sensor's arguments; what becomes of it without soft_fail.

    ``put_off`` says that mode ``reschedule`` puts its task off more than once on the way.
    """

    answers: Sequence[dict[str, Any]]
    outcome: tuple[str, int]
    ids: Sequence[str] | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    put_off: bool = False


TROUBLE = status(500)
SCHEDULES = {
    "archived at once": Schedule([listed(a="archived")], GOOD, ["a"]),
    "archived at the third look": Schedule(
        [listed(a="started"), listed(a="queued"), listed(a="archived")], GOOD, ["a"], put_off=True
    ),
    "a state nobody knows, then archived": Schedule([listed(a="paused"), listed(a="archived")], GOOD, ["a"]),
    "no recording at first": Schedule([listed(), listed(a="archived")], GOOD, ["a"]),
    "nothing required": Schedule([listed()], GOOD, [], {"min_videos": 0}),
    "a second one required": Schedule(
        [listed(a="archived"), listed(a="archived", b="archived")], GOOD, ["a", "b"], {"min_videos": 2}
    ),
    "swept before": Schedule([listed(a="deleted")], GOOD, []),
    "a selected one not listed at first": Schedule(
        [listed(b="archived"), listed(b="archived", a="archived")], GOOD, ["a"], {"meeting_video_ids": ["a"]}
    ),
    "nothing selected": Schedule([TROUBLE], GOOD, [], {"meeting_video_ids": []}),
    "failed": Schedule([listed(a="queued"), listed(a="failed")], FOR_GOOD),
    "failed, waited for": Schedule([listed(a="failed"), listed(a="archived")], GOOD, ["a"], {"on_failed": "wait"}),
    "failed, ignored": Schedule([listed(a="failed", b="archived")], GOOD, ["b"], {"on_failed": "ignore"}),
    "a selected one deleted": Schedule(
        [listed(a="queued"), listed(a="deleted")], FOR_GOOD, None, {"meeting_video_ids": ["a"]}
    ),
    "a selected one deleted, ignored": Schedule(
        [listed(a="queued"), listed(a="deleted")], GOOD, [], {"meeting_video_ids": ["a"], "on_deleted": "ignore"}
    ),
    "trouble within the budget": Schedule([TROUBLE, TROUBLE, listed(a="archived")], GOOD, ["a"]),
    "trouble within the budget, twice": Schedule(
        [TROUBLE, TROUBLE, listed(a="queued"), TROUBLE, TROUBLE, listed(a="archived")], GOOD, ["a"]
    ),
    "trouble beyond the budget": Schedule([TROUBLE], RETRIED),
    "trouble beyond the budget after a good look": Schedule([listed(a="queued"), TROUBLE], RETRIED),
    "a web page for ever": Schedule([{"status": 200, "body": "<html>login</html>"}], RETRIED),
    "two ids that differ by case alone": Schedule(
        [listed(aa="queued", aA="queued")], RETRIED, None, {"meeting_video_ids": ["AA"]}
    ),
    "told to come back": Schedule([status(429, "too_many", **{"Retry-After": "1"}), listed(a="archived")], GOOD, ["a"]),
    "too many requests, no word for how long": Schedule([status(429, "too_many")], RETRIED),
    "told to come back after the deadline": Schedule(
        [listed(a="queued"), status(429, "too_many", **{"Retry-After": "60"})],
        FOR_GOOD,
        None,
        {"timeout": 1},
        put_off=True,
    ),
    "busy, told to come back, beyond the budget": Schedule(
        [status(503, **{"Retry-After": "1"})], RETRIED, None, {"max_consecutive_errors": 1}
    ),
    "busy, told to come back, within the budget": Schedule(
        [status(503, **{"Retry-After": "1"}), listed(a="archived")], GOOD, ["a"]
    ),
    "key refused": Schedule([status(401, "not_authorized")], FOR_GOOD),
    "key refused later": Schedule([listed(a="queued"), status(403, "not_authorized")], FOR_GOOD),
    "package not found": Schedule([status(404, "package_not_found")], FOR_GOOD),
    "another package's answer": Schedule([{"status": 200, "body": {"packageId": "x", "videos": []}}], FOR_GOOD),
    "never archived": Schedule([listed(a="queued")], FOR_GOOD, None, {"timeout": 1}, put_off=True),
    "an empty-handed argument": Schedule([listed(a="archived")], FOR_GOOD, None, {"meeting_video_ids": "{{ none }}"}),
}


def plan(sim: IinkedSimulator, schedule: Schedule) -> str:
    """Make a package that answers by the schedule."""
    package = sim.add_package()
    for number, answer in enumerate(schedule.answers, start=1):
        last = number == len(schedule.answers)
        body = answer.get("body")
        if "states" in answer:
            videos = [{"meetingVideoId": name, "state": state, "url": None} for name, state in answer["states"].items()]
            body = {"packageId": package, "videos": videos}
        sim.faults.add(
            Fault(
                call="list",
                kind="status",
                package_id=package,
                on=range(number, 10_000) if last else number,
                status=answer["status"],
                body=body,
                headers=answer.get("headers", {}),
            )
        )
    return package


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_mode_comes_to_the_same_end(
    name: str,
    iinked_simulator: IinkedSimulator,
    connect: Callable[..., None],
    run_dag: Callable[..., Any],
    quick: None,
) -> None:
    connect(timeout=5)
    schedule = SCHEDULES[name]
    # On 3.0 dag.test() gives any sensor the time of its first reschedule as text, and the third look is a TypeError.
    broken = {"reschedule"} if airflow_version.startswith("3.0.") and schedule.put_off else set()
    lines, expected = [], {}
    for mode in [mode for mode in MODES if mode not in broken]:
        for soft_fail in (False, True):
            task_id = f"{mode}_{'soft' if soft_fail else 'hard'}"
            arguments = {
                "poke_interval": 0.3,
                "timeout": 120,
                "max_consecutive_errors": 2,
                "soft_fail": soft_fail,
                **MODES[mode],
                **schedule.arguments,
            }
            lines.append(
                f"Sensor(task_id={task_id!r}, package_id={plan(iinked_simulator, schedule)!r}, retries=1, "
                f"retry_delay=timedelta(0), **{arguments!r})"
            )
            state, tries = schedule.outcome
            expected[task_id] = ("skipped", 1) if soft_fail and state == "failed" else (state, tries)
    result = run_dag(HEAD + "\n".join(f"        {line}" for line in lines))

    tis = {ti.task_id: ti for ti in result.run.get_task_instances()}
    assert {name: (str(ti.state), ti.try_number) for name, ti in tis.items()} == expected
    passed = {task_id: result.xcom(task_id, "meeting_video_ids") for task_id in tis}
    assert passed == {task_id: (schedule.ids if state[0] == "success" else None) for task_id, state in expected.items()}


HEAD = """
    # a dag of airflow
    from datetime import datetime, timedelta
    from airflow.providers.common.compat.sdk import DAG
    from airflow_provider_iinked.sensors.videos import IinkedVideosArchivedSensor as Sensor

    with DAG(dag_id="{dag_id}", start_date=datetime(2026, 1, 1), schedule=None) as dag:
"""
