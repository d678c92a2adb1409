"""
The states of one recording during a deletion, and what leads from one to the next. Pure.

The table is the whole of it: what does not stand in it cannot happen (:func:`transition` raises). ``docs/safety.md``
shows the same table, written by ``scripts/render_deletion_states.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class IllegalStepError(RuntimeError):
    """A step out of order was requested of the rules: a fault of this provider, never of its user. Nothing was sent."""


class RecordingState(StrEnum):
    """What is known of one recording that was selected for deletion."""

    PENDING = "pending"
    """It is listed and live; no request for it is out."""
    REQUESTED = "requested"
    """Its request is on its way."""
    UNCLEAR = "unclear"
    """The answer does not say what happened; the list decides before anything else is sent."""
    UNCONFIRMED = "unconfirmed"
    """The API took the request; no list has shown yet that the recording is deleted. Nothing more is sent for it."""
    DELETED = "deleted"
    """A list that was read after its request shows it deleted, or no more."""
    GONE = "gone"
    """A list shows it deleted, or no more, and this task has sent no request for it that could have done it."""
    REFUSED = "refused"
    """The API refused the request in its own words; the recording is kept."""
    FAILED = "failed"
    """It was not deleted for another reason: its copy, its state, its receipt, or a service that does not work."""


class Event(StrEnum):
    """What can happen to a recording."""

    SEND = "its request is sent"
    NOT_CARRIED_OUT = "the request did not reach the service, or was turned away by 429"
    ACCEPTED = "an answer in the API's form"
    NO_CLEAR_ANSWER = "no answer, or one that says nothing certain"
    FORBIDDEN = "a retention policy forbids it"
    LISTED_LIVE = "a list shows it live"
    LISTED_GONE = "a list shows it deleted, or no more"
    REFUSAL_STANDS = "a list shows it live after 400 or 404 with an error code to the first request"
    REFUSAL_DOUBTED = "a list shows it live after another refusal, such as one of a repeated request"
    PROBLEM = "a check fails, or the retries are spent"


_S: Final = RecordingState
TRANSITIONS: Final[Mapping[RecordingState, Mapping[Event, RecordingState]]] = MappingProxyType(
    {
        _S.PENDING: {
            Event.SEND: _S.REQUESTED,
            Event.LISTED_LIVE: _S.PENDING,
            Event.LISTED_GONE: _S.GONE,
            Event.PROBLEM: _S.FAILED,
        },
        _S.REQUESTED: {
            Event.ACCEPTED: _S.UNCONFIRMED,
            Event.NOT_CARRIED_OUT: _S.PENDING,
            Event.NO_CLEAR_ANSWER: _S.UNCLEAR,
            Event.FORBIDDEN: _S.REFUSED,
        },
        _S.UNCLEAR: {
            Event.LISTED_LIVE: _S.PENDING,
            Event.LISTED_GONE: _S.DELETED,
            Event.REFUSAL_STANDS: _S.REFUSED,
            Event.REFUSAL_DOUBTED: _S.UNCONFIRMED,
        },
        _S.UNCONFIRMED: {
            Event.LISTED_LIVE: _S.UNCONFIRMED,
            Event.LISTED_GONE: _S.DELETED,
        },
        _S.DELETED: {},
        _S.GONE: {},
        _S.REFUSED: {},
        _S.FAILED: {},
    }
)


def transition(state: RecordingState, event: Event) -> RecordingState:
    """
    Look up what an event makes of a state.

    :param state: the present state.
    :param event: what happened.
    :return: the next state.
    :raises IllegalStepError: when that cannot happen in this state.
    """
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalStepError(f"A recording that is {state} knows no {event.name}.") from None
