"""A trigger in few words, and what it tells."""

from __future__ import annotations

import time
from typing import Any


def make_trigger(package_id: str, **arguments: Any) -> Any:
    from airflow_provider_iinked.triggers.videos import IinkedVideosArchivedTrigger

    settings: dict[str, Any] = {
        "iinked_sign_conn_id": "iinked_sign_default",
        "package_id": package_id,
        "meeting_video_ids": "*",
        "min_videos": 1,
        "on_failed": "fail",
        "on_deleted": "fail",
        "poll_interval": 0.2,
        "end_time": time.time() + 60,
        "max_consecutive_errors": 2,
    }
    return IinkedVideosArchivedTrigger(**{**settings, **arguments})


async def run_trigger(trigger: Any) -> dict[str, Any]:
    """Run a trigger as a triggerer does, and give the payload of its only event."""
    try:
        events = [event async for event in trigger.run()]
    finally:
        await trigger.cleanup()
    assert len(events) == 1
    return events[0].payload
