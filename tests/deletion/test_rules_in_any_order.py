"""The rule book: no order of events that hypothesis can think of leads to a request that breaks a rule."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_iinked.deletion.states import IllegalStepError, RecordingState
from tests.deletion.rule_books import (
    KEY,
    LATER,
    LOCKED,
    LOST,
    NOT_FOUND,
    RETENTION,
    SERVER,
    UNSENT,
    listing,
    rule_book,
    verification,
    video,
)

STATES = ["archived", "deleted"]
NAMES = st.sampled_from(["a", "b", "c"])
LISTED = st.sampled_from(["archived", "archived", "deleted", "started", None])
ERRORS = st.sampled_from([LOCKED, NOT_FOUND, SERVER, LATER, UNSENT, LOST, RETENTION, KEY])
EVENTS = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([1.0, 9.0, 11.0, 40.0, 61.0])),
    st.tuples(st.just("list"), NAMES, LISTED),
    st.tuples(st.just("verify"), NAMES, st.booleans()),
    st.tuples(st.just("receipt"), NAMES),
    st.tuples(st.just("begin"), NAMES),
    st.tuples(st.just("prepare"), NAMES),
    *[st.tuples(st.just("request"), NAMES, st.sampled_from([0.0, 0.0, 9.0, 11.0, 61.0]))] * 3,
    st.tuples(st.just("answer"), NAMES, st.lists(NAMES, max_size=2)),
    st.tuples(st.just("fail"), NAMES, ERRORS),
    *[st.tuples(st.just("reply"), st.one_of(ERRORS, st.lists(NAMES, max_size=2)))] * 3,
)


class Watched:
    """A rule book, and what an outsider notes of it: with none of its code."""

    def __init__(self, first):
        self.rules = rule_book(**first)
        self.now, self.listed_at, self.shown = 0.0, 0.0, dict(first)
        self.first = dict(first)
        self.verified, self.receipts = {}, set()
        self.unsettled, self.stopped = None, False
        self.sent = []

    def apply(self, event):
        kind, *rest = event
        try:
            getattr(self, f"on_{kind}")(*rest)
        except IllegalStepError:
            assert kind != "wait"

    def on_wait(self, seconds):
        self.now += seconds

    def on_list(self, name, state):
        """A list in which one recording is otherwise, or (None) missing."""
        states = {**self.shown, name: state}
        states = {n: s for n, s in states.items() if s is not None}
        missing = {n for n, s in self.shown.items() if s != "deleted" and states.get(n, "deleted") == "deleted"}
        self.rules.take_list(listing(**states), listed_at=self.now)
        lost = self.unsettled is not None and self.unsettled[1] not in (LOCKED, NOT_FOUND)
        self.stopped |= lost and bool(missing - set(self.sent))
        self.listed_at, self.shown, self.unsettled = self.now, states, None

    def on_verify(self, name, same):
        self.rules.verified(name, verification(name, **({} if same else {"size": 6})), at=self.now)
        self.verified[name] = (self.now, same)
        self.receipts.discard(name)

    def on_receipt(self, name):
        self.rules.receipt_written(name)
        self.receipts.add(name)

    def on_prepare(self, name):
        self.on_verify(name, True)
        self.on_receipt(name)

    def on_request(self, name, seconds):
        """The usual way, with some time before the request."""
        self.on_prepare(name)
        self.now += seconds
        self.on_begin(name)

    def on_reply(self, reply):
        """Something comes back for the request that is on its way."""
        if self.unsettled is not None and isinstance(reply, list):
            self.on_answer(self.unsettled[0], reply)
        elif self.unsettled is not None:
            self.on_fail(self.unsettled[0], reply)

    def on_begin(self, name):
        self.rules.begin_request(name, now=self.now)
        assert self.first.get(name) == "archived", "requested, and not selected"
        assert self.shown.get(name) == "archived", "requested, and not listed as archived"
        assert self.now - self.listed_at <= 60.0, "requested on an old list"
        at, same = self.verified.pop(name, (None, False))
        assert at is not None, "requested without a verification"
        assert self.now - at <= 10.0, "requested on an old verification"
        assert same, "requested although it is not what was copied"
        assert name in self.receipts, "requested without a receipt"
        assert self.unsettled is None, "requested while another request is not settled"
        assert not self.stopped, "requested after a stop"
        self.receipts.discard(name)
        self.sent.append(name)
        self.unsettled = (name, None)

    def on_answer(self, name, named):
        self.rules.answered(name, [video(other, "deleted") for other in named])
        gone = {n for n, s in self.first.items() if s == "deleted"} | set(self.sent)
        self.stopped |= bool({n for n in named if n not in gone and self.shown.get(n) == "archived"})
        self.unsettled = None

    def on_fail(self, name, error):
        self.rules.request_failed(name, error)
        self.stopped |= error is KEY
        self.unsettled = None if error in (LATER, UNSENT, RETENTION) else (name, error)


FIRST = st.fixed_dictionaries({"a": st.just("archived"), "b": st.just("archived"), "c": st.sampled_from(STATES)})
SENT: list[int] = []


@settings(max_examples=400)
@given(FIRST, st.lists(EVENTS, min_size=10, max_size=30))
def no_order_of_events_breaks_a_rule(first, events):
    watched = Watched(first)
    for event in events:
        watched.apply(event)
    for recording in watched.rules:
        if recording.state is RecordingState.DELETED:
            assert recording.id in watched.sent
    SENT.append(len(watched.sent))


def test_no_order_of_events_leads_to_a_request_that_breaks_a_rule():
    SENT.clear()
    no_order_of_events_breaks_a_rule()
    assert sum(SENT) > 50, "hardly any request was allowed: this shows nothing"
