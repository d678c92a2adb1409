"""The table of a recording's states."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_iinked.deletion.states import TRANSITIONS, Event, IllegalStepError, RecordingState, transition

ROOT = Path(__file__).parent.parent.parent
S, E = RecordingState, Event

EXPECTED = {
    (S.PENDING, E.SEND): S.REQUESTED,
    (S.PENDING, E.LISTED_LIVE): S.PENDING,
    (S.PENDING, E.LISTED_GONE): S.GONE,
    (S.PENDING, E.PROBLEM): S.FAILED,
    (S.REQUESTED, E.ACCEPTED): S.UNCONFIRMED,
    (S.REQUESTED, E.NOT_CARRIED_OUT): S.PENDING,
    (S.REQUESTED, E.NO_CLEAR_ANSWER): S.UNCLEAR,
    (S.REQUESTED, E.FORBIDDEN): S.REFUSED,
    (S.UNCLEAR, E.LISTED_LIVE): S.PENDING,
    (S.UNCLEAR, E.LISTED_GONE): S.DELETED,
    (S.UNCLEAR, E.REFUSAL_STANDS): S.REFUSED,
    (S.UNCLEAR, E.REFUSAL_DOUBTED): S.UNCONFIRMED,
    (S.UNCONFIRMED, E.LISTED_LIVE): S.UNCONFIRMED,
    (S.UNCONFIRMED, E.LISTED_GONE): S.DELETED,
}


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", RecordingState)
def test_each_event_leads_where_the_table_says_or_is_refused(state, event):
    after = EXPECTED.get((state, event))
    if after is None:
        with pytest.raises(IllegalStepError, match=state.value):
            transition(state, event)
    else:
        assert transition(state, event) is after


def test_a_request_is_sent_from_pending_only():
    assert [state for state, events in TRANSITIONS.items() if Event.SEND in events] == [S.PENDING]


def test_deleted_is_reached_by_a_list_only():
    assert {event for events in TRANSITIONS.values() for event, after in events.items() if after is S.DELETED} == {
        E.LISTED_GONE
    }


def test_nothing_leads_out_of_a_final_state():
    assert [state for state in S if not TRANSITIONS[state]] == [S.DELETED, S.GONE, S.REFUSED, S.FAILED]


def test_the_safety_page_shows_this_table():
    script = ROOT / "scripts" / "render_deletion_states.py"
    checked = subprocess.run(
        [sys.executable, str(script), "--check"], check=False, env={"PYTHONPATH": str(ROOT), "PATH": ""}
    )
    assert checked.returncode == 0, "run scripts/render_deletion_states.py"
