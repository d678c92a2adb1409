"""The rule book: each rule by itself, and each rule broken on purpose."""

from __future__ import annotations

import pytest

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.deletion.recording import ReceiptUse
from airflow_provider_iinked.deletion.rules import Step
from airflow_provider_iinked.deletion.states import IllegalStepError, RecordingState
from tests.deletion import test_service_health as service_health
from tests.deletion.rule_books import (
    BROKEN,
    CONFLICT,
    KEY,
    LATER,
    LOCKED,
    LOST,
    NOT_FOUND,
    RETENTION,
    SERVER,
    UNSENT,
    broken,
    listing,
    make_ready,
    request,
    rule_book,
    verification,
    video,
)

# --- before a request -------------------------------------------------------------------------------------------------


def test_the_steps_of_a_guarded_deletion_come_in_their_order():
    rules = rule_book()
    assert rules.next_step("a", now=1.0) is Step.VERIFY
    rules.verified("a", verification("a"), at=1.0)
    assert rules.next_step("a", now=1.0) is Step.WRITE_RECEIPT
    rules.receipt_written("a")
    assert rules.next_step("a", now=1.0) is Step.SEND
    assert rules.begin_request("a", now=1.0) == ("p", "a")


def test_without_copies_a_receipt_comes_before_the_request():
    rules = rule_book(guarded=False)
    assert rules.next_step("a", now=1.0) is Step.WRITE_RECEIPT
    with pytest.raises(IllegalStepError, match="write its receipt"):
        rules.begin_request("a", now=1.0)
    rules.receipt_written("a")
    assert rules.begin_request("a", now=1.0) == ("p", "a")


@pytest.mark.parametrize(("now", "step"), [(10.0, Step.SEND), (10.1, Step.VERIFY)])
def test_a_verification_holds_for_ten_seconds(now, step):
    rules = rule_book()
    make_ready(rules, "a", at=0.0)
    assert rules.next_step("a", now=now) is step


@pytest.mark.parametrize(("now", "step"), [(60.0, Step.SEND), (60.1, Step.READ_LIST)])
def test_a_list_holds_for_a_minute(now, step):
    rules = rule_book()
    make_ready(rules, "a", at=59.0)
    assert rules.next_step("a", now=now) is step
    if step is not Step.SEND:
        with pytest.raises(IllegalStepError):
            rules.begin_request("a", now=now)


def test_a_new_verification_needs_a_new_receipt():
    rules = rule_book()
    make_ready(rules, "a")
    rules.verified("a", verification("a"), at=1.0)
    assert rules.next_step("a", now=1.0) is Step.WRITE_RECEIPT


def test_a_verification_and_a_receipt_serve_one_request():
    rules = rule_book()
    request(rules, "a")
    rules.request_failed("a", LATER)
    assert rules.next_step("a", now=0.0) is Step.VERIFY
    rules.verified("a", verification("a"), at=0.0)
    assert rules.next_step("a", now=0.0) is Step.WRITE_RECEIPT


def test_what_was_not_selected_or_not_listed_is_never_requested():
    rules = rule_book(wanted=("a", "x"), a="archived", b="archived")
    for name in ("b", "x", "never"):
        with pytest.raises(IllegalStepError):
            rules.next_step(name, now=0.0)
    rules.take_list(listing(a="archived", x="archived"), listed_at=1.0)
    with pytest.raises(IllegalStepError):
        rules.next_step("x", now=1.0)


def test_the_verification_of_another_recording_is_refused():
    rules = rule_book()
    with pytest.raises(IllegalStepError):
        rules.verified("a", verification("b"), at=0.0)


@pytest.mark.parametrize("field", ["size", "timeCreated", "duration", "meetingId"])
def test_a_recording_that_is_no_longer_what_was_copied_is_kept(field):
    rules = rule_book()
    rules.verified("a", verification("a", **{field: "other"}), at=0.0)
    assert rules.recording("a").state is RecordingState.FAILED
    assert field in str(rules.recording("a").error)


def test_a_recording_that_a_later_list_shows_otherwise_is_kept():
    rules = rule_book()
    make_ready(rules, "a")
    changed = listing(b="archived")
    rules.take_list(type(changed)([video("a", duration="PT9S"), *changed.videos]), listed_at=1.0)
    assert rules.recording("a").state is RecordingState.FAILED


def test_a_state_that_may_not_be_deleted_keeps_the_recording():
    rules = rule_book()
    rules.take_list(listing(a="started", b="archived"), listed_at=1.0)
    assert isinstance(rules.recording("a").error, exceptions.StateNotAllowedError)
    assert rules.next_step("a", now=1.0) is Step.NOTHING


@pytest.mark.parametrize(
    ("domains", "state"),
    [(("s3://one",), RecordingState.FAILED), (("s3://one", "s3://two"), RecordingState.PENDING)],
)
def test_copies_must_lie_in_so_many_failure_domains(domains, state):
    rules = rule_book(min_copies=2)
    rules.verified("a", verification("a", domains=domains), at=0.0)
    assert rules.recording("a").state is state


def test_what_is_gone_before_its_turn_is_not_requested_even_if_it_comes_back():
    rules = rule_book()
    assert rules.take_list(listing(b="archived"), listed_at=1.0).settled == ("a",)
    rules.take_list(listing(a="archived", b="archived"), listed_at=2.0)
    assert rules.recording("a").state is RecordingState.GONE
    assert rules.next_step("a", now=2.0) is Step.NOTHING


def test_an_older_list_is_refused():
    rules = rule_book()
    rules.take_list(listing(a="archived", b="archived"), listed_at=5.0)
    with pytest.raises(IllegalStepError, match="older"):
        rules.take_list(listing(a="archived", b="archived"), listed_at=4.0)


# --- answers ----------------------------------------------------------------------------------------------------------


def test_an_answer_is_unconfirmed_until_a_list_shows_it():
    rules = rule_book()
    request(rules, "a")
    rules.answered("a", [video("a", "deleted")])
    assert rules.recording("a").state is RecordingState.UNCONFIRMED
    assert rules.recording("a").receipt_use is ReceiptUse.UNCONFIRMED
    assert rules.take_list(listing(a="deleted", b="archived"), listed_at=1.0).settled == ("a",)
    assert rules.recording("a").state is RecordingState.DELETED
    assert rules.recording("a").receipt_use is ReceiptUse.COMPLETE


def test_an_answer_that_names_nothing_claims_nothing():
    rules = rule_book()
    request(rules, "a")
    rules.answered("a", [])
    assert rules.recording("a").receipt_use is ReceiptUse.LEAVE
    rules.end()
    assert isinstance(rules.recording("a").error, exceptions.DeletionNotConfirmedError)


@pytest.mark.parametrize("named", [["a", "b"], ["b"], ["a", "never-listed"]])
def test_an_answer_that_names_what_was_not_requested_stops_everything(named):
    rules = rule_book()
    make_ready(rules, "b")
    request(rules, "a")
    rules.answered("a", [video(name, "deleted") for name in named])
    assert isinstance(rules.stopped_by, exceptions.UnrequestedDeletionError)
    assert rules.next_step("b", now=0.0) is Step.NOTHING
    with pytest.raises(IllegalStepError):
        rules.begin_request("b", now=0.0)


def test_an_answer_may_name_what_was_requested_or_gone_before():
    rules = rule_book(a="archived", b="archived", c="deleted")
    request(rules, "a")
    rules.answered("a", [video("a", "deleted"), video("C", "deleted")])
    assert rules.stopped_by is None


@pytest.mark.parametrize("before", [{"a": "archived"}, {"a": "archived", "b": "deleted"}])
def test_what_one_list_left_out_and_the_next_one_shows_live_was_not_gone_before(before):
    rules = rule_book(wanted=["a"], a="archived", b="archived")
    rules.take_list(listing(**before), listed_at=1.0)
    rules.take_list(listing(a="archived", b="archived"), listed_at=2.0)
    request(rules, "a")
    rules.answered("a", [video("a", "deleted"), video("b", "deleted")])
    assert isinstance(rules.stopped_by, exceptions.UnrequestedDeletionError)


def test_after_a_stop_no_receipt_claims_a_deletion():
    rules = rule_book()
    request(rules, "a")
    rules.answered("a", [video("a", "deleted"), video("b", "deleted")])
    rules.take_list(listing(), listed_at=1.0)
    assert rules.recording("a").receipt_use is ReceiptUse.UNCONFIRMED
    assert rules.recording("b").receipt_use is ReceiptUse.VOID


@pytest.mark.parametrize("error", [SERVER, LOST, CONFLICT, LOCKED, NOT_FOUND])
def test_after_an_unclear_answer_the_list_is_read_before_anything_else(error):
    rules = rule_book()
    make_ready(rules, "b")
    request(rules, "a")
    rules.request_failed("a", error)
    assert rules.next_step("a", now=0.0) is Step.READ_LIST
    with pytest.raises(IllegalStepError, match="not settled"):
        rules.begin_request("b", now=0.0)


@pytest.mark.parametrize("error", [SERVER, LOST, CONFLICT, LOCKED, NOT_FOUND])
def test_after_an_unclear_answer_a_list_without_it_means_deleted(error):
    rules = rule_book()
    request(rules, "a")
    rules.request_failed("a", error)
    rules.take_list(listing(b="archived"), listed_at=1.0)
    assert rules.recording("a").state is RecordingState.DELETED


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (SERVER, RecordingState.PENDING),
        (LOST, RecordingState.PENDING),
        (LOCKED, RecordingState.REFUSED),
        (NOT_FOUND, RecordingState.REFUSED),
        (CONFLICT, RecordingState.UNCONFIRMED),
        (exceptions.RequestRefusedError("x", status=400), RecordingState.UNCONFIRMED),
    ],
)
def test_what_a_list_that_still_shows_it_means(error, state):
    rules = rule_book()
    request(rules, "a")
    rules.request_failed("a", error)
    rules.take_list(listing(a="archived", b="archived"), listed_at=1.0)
    assert rules.recording("a").state is state
    assert rules.recording("a").error is error
    assert rules.recording("a").receipt_use is ReceiptUse.LEAVE


def test_a_refusal_of_a_repeat_is_not_the_apis_word():
    rules = rule_book()
    request(rules, "a")
    rules.request_failed("a", LOST)
    rules.take_list(listing(a="archived", b="archived"), listed_at=1.0)
    request(rules, "a", at=1.0)
    rules.request_failed("a", NOT_FOUND)
    rules.take_list(listing(a="archived", b="archived"), listed_at=2.0)
    assert rules.recording("a").state is RecordingState.UNCONFIRMED


def test_a_refusal_after_429_is_the_apis_word():
    rules = rule_book()
    request(rules, "a")
    rules.request_failed("a", LATER)
    request(rules, "a")
    rules.request_failed("a", LOCKED)
    rules.take_list(listing(a="archived", b="archived"), listed_at=1.0)
    assert rules.recording("a").state is RecordingState.REFUSED


@pytest.mark.parametrize("error", [LATER, UNSENT])
def test_what_was_not_carried_out_may_be_requested_again_and_its_receipt_is_void(error):
    rules = rule_book()
    request(rules, "a")
    rules.request_failed("a", error)
    assert rules.recording("a").state is RecordingState.PENDING
    assert rules.recording("a").receipt_use is ReceiptUse.VOID


def test_a_retention_policy_refuses_at_once():
    rules = rule_book()
    request(rules, "a")
    rules.request_failed("a", RETENTION)
    assert rules.recording("a").state is RecordingState.REFUSED
    make_ready(rules, "b")
    assert rules.next_step("b", now=0.0) is Step.SEND


def test_a_refused_key_stops_everything():
    rules = rule_book()
    request(rules, "a")
    rules.request_failed("a", KEY)
    assert rules.stopped_by is KEY
    assert rules.next_step("b", now=0.0) is Step.NOTHING


def test_more_gone_after_an_unclear_answer_stops_everything():
    rules = rule_book()
    request(rules, "a")
    rules.request_failed("a", LOST)
    rules.take_list(listing(), listed_at=1.0)
    assert isinstance(rules.stopped_by, exceptions.UnrequestedDeletionError)
    assert "b, not requested, is gone too" in str(rules.stopped_by)


def test_more_gone_after_a_refusal_is_somebody_elses_doing():
    rules = rule_book()
    request(rules, "a")
    rules.request_failed("a", LOCKED)
    assert rules.take_list(listing(a="archived"), listed_at=1.0).disappeared == ("b",)
    assert rules.stopped_by is None


def test_an_answer_to_no_request_is_refused():
    rules = rule_book()
    with pytest.raises(IllegalStepError):
        rules.answered("a", [])
    request(rules, "a")
    with pytest.raises(IllegalStepError):
        rules.answered("b", [])


# --- broken on purpose ------------------------------------------------------------------------------------------------

NOTICED_BY = {
    "a stale list is taken for recent": lambda: test_a_list_holds_for_a_minute(60.1, Step.READ_LIST),
    "a stale verification is taken for fresh": lambda: test_a_verification_holds_for_ten_seconds(10.1, Step.VERIFY),
    "no verification is needed": test_the_steps_of_a_guarded_deletion_come_in_their_order,
    "the listing is not compared with the record": test_a_recording_that_a_later_list_shows_otherwise_is_kept,
    "what an answer names is not compared": lambda: test_an_answer_that_names_what_was_not_requested_stops_everything(
        ["a", "b"]
    ),
    "what a list misses is not compared": test_more_gone_after_an_unclear_answer_stops_everything,
    "every refusal is a doubt": test_a_refusal_after_429_is_the_apis_word,
    "a service that is down is asked on": service_health.test_three_failures_in_a_row_mean_that_the_service_is_down,
}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_rule_that_is_broken_on_purpose_is_noticed(rule):
    NOTICED_BY[rule]()
    with broken(rule), pytest.raises((AssertionError, IllegalStepError, pytest.fail.Exception)):
        NOTICED_BY[rule]()
