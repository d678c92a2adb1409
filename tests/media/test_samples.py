"""The recordings that tests make leave the process as it was."""

from __future__ import annotations

import os

from tests.media.samples import recording


def test_an_encoder_that_raises_its_priority_leaves_the_process_as_it_was() -> None:
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    recording.__wrapped__(".mkv", "libsvtav1", None, seconds=1)
    assert (os.sched_getscheduler(0), os.sched_getparam(0)) == before
