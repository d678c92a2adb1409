#!/usr/bin/env bash
# One would expect: masking a secret costs about the same for the first and the thousandth, and masking a list at
#   once costs less than one by one.
# What happens: each secret that is new compiles one regular expression out of all secrets so far. Twice the secrets
#   cost four times the CPU; a list given in one call is no cheaper, since each of its items compiles again.
# Versions: apache-airflow-task-sdk 1.3.2 (Airflow 3.3.2).
# Why it matters: each recording has a signed URL of its own. 400 of them cost about 8 s of CPU before the first byte is
#   read, 1,000 about 50 s. One mask for what all URLs share, or masking when a URL is used and not for all ahead, is
#   the way out.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile --disable-pip-version-check \
    'apache-airflow-task-sdk==1.3.2' 'apache-airflow-core==3.3.2'

AIRFLOW_HOME="$work/airflow" venv/bin/python - <<'PYTHON'
import re
import sys
import time

from airflow.sdk._shared.secrets_masker import reset_secrets_masker
from airflow.sdk.log import mask_secret


def urls(count):
    return [f"https://host.example/video/{number:08d}.mp4?signature={number * 7919:016x}" for number in range(count)]


def seconds(mask):
    reset_secrets_masker()
    re.purge()
    started = time.process_time()
    mask()
    return time.process_time() - started


def one_by_one(secrets):
    for secret in secrets:
        mask_secret(secret)


seconds(lambda: one_by_one(urls(5)))  # leaves the first call's imports out
few, many = (seconds(lambda count=count: one_by_one(urls(count))) for count in (60, 240))
at_once = seconds(lambda: mask_secret(urls(240)))
times = many / few
print(f"CPU: 60 secrets {few:.2f} s, 240 secrets {many:.2f} s ({times:.1f} times), 240 in one call {at_once:.2f} s")
if times < 8:
    sys.exit("changed: four times the secrets cost 14 to 18 times the CPU before")
if at_once < many / 2:
    sys.exit("changed: one call with all secrets cost as much as a call for each before")
PYTHON
