#!/usr/bin/env bash
# One would expect: soft_fail=True treats one error alike, whether the sensor meets it while it pokes or when it
#   resumes after a deferral. deferrable=True is documented as a way to save worker slots, not as another outcome.
# What happens: an AirflowException raised in poke() fails the task; the same exception raised in the method that the
#   sensor resumes in skips the task. AirflowFailException is a skip in both, a ValueError a failure in both.
# Versions: apache-airflow-task-sdk 1.3.2 (Airflow 3.3.2).
# Why it matters: with deferrable=True an error ("the store answered 403") ends green as "skipped", and nobody looks.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile --disable-pip-version-check \
    'apache-airflow-task-sdk==1.3.2' 'apache-airflow-core==3.3.2'

export AIRFLOW_HOME="$work/airflow" AIRFLOW__LOGGING__LOGGING_LEVEL=CRITICAL
venv/bin/python - <<'PYTHON' 2>log || { tail -n 20 log && exit 1; }
import sys

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

EXPECTED = {
    AirflowException: ("AirflowException", "AirflowSkipException"),
    AirflowFailException: ("AirflowSkipException", "AirflowSkipException"),
    ValueError: ("ValueError", "ValueError"),
}


class Sensor(BaseSensorOperator):
    def __init__(self, *, error, **kwargs):
        super().__init__(**kwargs)
        self.error = error

    def poke(self, context):
        raise self.error("the store answered 403")

    def resume(self, context, event=None):
        raise self.error("the store answered 403")


def outcome(call):
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return "success"


for error, expected in EXPECTED.items():
    sensor = Sensor(error=error, task_id="wait", soft_fail=True, poke_interval=1, timeout=5)
    poked = outcome(lambda: sensor.execute({}))
    resumed = outcome(lambda: sensor.resume_execution("resume", {"event": None}, {}))
    print(f"{error.__name__}: {poked} from poke(), {resumed} after a deferral", flush=True)
    if (poked, resumed) != expected:
        print(f"changed: {expected} was seen before", flush=True)
        sys.exit(1)
PYTHON
