"""The operator that asks a person, answered by hand in the way Airflow answers it; real ones: tests/deployment."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_iinked.deletion.approval import parse_approval, plan_sha256, planned_deletion, read_plan
from airflow_provider_iinked.exceptions import ApprovalError, InvalidArgumentError
from airflow_provider_iinked.models import parse_video

ASKS = tuple(map(int, airflow_version.split(".")[:2])) >= (3, 1)
needs_airflow_3_1 = pytest.mark.skipif(not ASKS, reason="approval needs Airflow 3.1")
ADA, BOB = {"id": "ada", "name": "Ada"}, {"id": "bob", "name": "Bob"}
_numbers = itertools.count()


def preview(*names: str, package: str = "p", size: int = 5) -> dict[str, Any]:
    """The XCom of a preview."""
    videos = [parse_video({"meetingVideoId": name, "state": "archived", "size": size}) for name in names]
    plan = [planned_deletion("https://h/api/v1", package, video) for video in videos]
    return {"preview": True, "plan": [item.as_xcom() for item in plan], "plan_sha256": plan_sha256(plan)}


class Question:
    """One approval task, before and after its answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, plan: Any, **arguments: Any) -> None:
        from airflow.providers.standard.operators import hitl

        from airflow_provider_iinked.operators.approval import IinkedApproveDeletionOperator

        self.shown: dict[str, Any] = {}
        monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **detail: self.shown.update(detail))
        self.operator = IinkedApproveDeletionOperator(task_id=f"approve_{next(_numbers)}", plan=plan, **arguments)
        self.run = SimpleNamespace(triggering_user_name="ada", run_type="manual")
        self.context: Any = {"task_instance": SimpleNamespace(id="1"), "dag_run": self.run, "task": self.operator}

    def ask(self) -> Any:
        """Run the task's first part; what it returns, or None when it waits for a person."""
        try:
            return self.operator.execute(self.context)
        except BaseException as parked:  # Airflow parks a task by an exception, of another name in each version
            if type(parked).__name__ not in ("TaskAwaitingInput", "TaskDeferred"):
                raise
            return None

    @property
    def digest(self) -> str:
        """The digest in the form, as it is shown."""
        found = self.shown["params"]["plan_sha256"]
        return str(found["value"] if isinstance(found, dict) else found)

    def answer(self, option: str = "Approve", by: Any = BOB, *, digest: str | None = None, **more: Any) -> Any:
        event = {
            "chosen_options": [option],
            "params_input": {"plan_sha256": self.digest if digest is None else digest},
            "responded_by_user": by,
            "responded_at": datetime(2026, 11, 28, tzinfo=UTC),
            "timedout": False,
            **more,
        }
        return self.operator.execute_complete(self.context, event)


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(plan: Any = None, **arguments: Any) -> Question:
        question = Question(monkeypatch, preview("a", "b") if plan is None else plan, **arguments)
        assert question.ask() is None
        return question

    return make


@needs_airflow_3_1
def test_the_question_shows_each_recording_and_the_answer_carries_the_digest_of_it(ask: Any) -> None:
    question = ask()
    assert "| p | a |" in question.shown["body"]
    answer = question.answer()
    assert (answer["approved"], answer["responded_by"]) == (True, "Bob")
    assert answer["plan_sha256"] == plan_sha256(read_plan(preview("a", "b")))
    assert parse_approval(answer).responded_at == "2026-11-28T00:00:00+00:00"


@needs_airflow_3_1
def test_the_params_of_the_dag_are_not_requested(ask: Any) -> None:
    assert list(ask(params={"matter": "M-1"}).shown["params"]) == ["plan_sha256"]


@needs_airflow_3_1
@pytest.mark.parametrize("takes", [True, False], ids=["response_timeout", "execution_timeout"])
def test_the_time_for_an_answer_goes_where_the_standard_provider_takes_it(
    monkeypatch: pytest.MonkeyPatch, takes: bool
) -> None:
    """Those of Airflow 3.1 know no ``response_timeout``."""
    from airflow.providers.standard.operators.hitl import HITLOperator

    given: dict[str, Any] = {}
    if takes:

        def init(self: Any, *, response_timeout: Any = None, **more: Any) -> None:
            given.update({"response_timeout": response_timeout})
    else:

        def init(self: Any, **more: Any) -> None:  # type: ignore[misc]
            given.update(more)

    monkeypatch.setattr(HITLOperator, "__init__", init)
    from airflow_provider_iinked.operators import approval

    monkeypatch.setattr(approval.ApprovalOperator, "__init__", init)
    approval.IinkedApproveDeletionOperator(task_id="approve", plan=preview("a"), response_timeout=timedelta(days=7))
    assert given["response_timeout" if takes else "execution_timeout"] == timedelta(days=7)


@needs_airflow_3_1
def test_an_empty_plan_asks_nobody_and_allows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    question = Question(monkeypatch, preview())
    answer = question.ask()
    assert question.shown == {}
    assert (answer["approved"], parse_approval(answer).plan_sha256) == (False, plan_sha256([]))


@needs_airflow_3_1
def test_the_answer_to_the_text_of_another_plan_is_refused(ask: Any) -> None:
    """As after a clear: the text is that of the first run, the plan is the second one's."""
    question = ask()
    question.operator.plan = preview("a", "b", "late")
    with pytest.raises(ApprovalError, match="another plan"):
        question.answer()


@needs_airflow_3_1
@pytest.mark.parametrize("digest", ["", "0" * 64, plan_sha256([])])
def test_a_digest_that_was_edited_in_the_form_is_refused(ask: Any, digest: str) -> None:
    with pytest.raises(ApprovalError, match="another plan"):
        ask().answer(digest=digest)


@needs_airflow_3_1
def test_an_answer_without_a_digest_is_refused(ask: Any) -> None:
    with pytest.raises(ApprovalError, match="another plan"):
        ask().answer(params_input={})


@needs_airflow_3_1
@pytest.mark.parametrize("how", [{"by": None}, {"timedout": True}])
def test_an_approval_that_no_person_gave_is_refused(ask: Any, how: dict[str, Any]) -> None:
    with pytest.raises(ApprovalError, match="No person"):
        ask().answer(**how)


@needs_airflow_3_1
def test_no_answer_in_time_fails_for_good_so_that_no_retry_asks_again(ask: Any) -> None:
    with pytest.raises(ApprovalError, match="Nobody answered within response_timeout"):
        ask().answer(error="The timeout has passed", error_type="timeout")


@needs_airflow_3_1
def test_another_error_of_the_question_stays_airflows(ask: Any) -> None:
    from airflow.providers.standard.exceptions import HITLTriggerEventError

    with pytest.raises(HITLTriggerEventError, match="the database is away"):
        ask().answer(error="the database is away", error_type="unknown")


@needs_airflow_3_1
def test_a_rejection_that_fails_the_task_fails_it_for_good(ask: Any) -> None:
    with pytest.raises(ApprovalError, match="rejected by Bob"):
        ask(fail_on_reject=True).answer("Reject")


@needs_airflow_3_1
def test_a_person_who_is_not_assigned_is_refused_here_too(ask: Any) -> None:
    question = ask(assigned_users=[ADA])
    with pytest.raises(ApprovalError, match="Bob is not among"):
        question.answer(by=BOB)
    assert question.answer(by=ADA)["approved"] is True


@needs_airflow_3_1
@pytest.mark.parametrize("starter", ["ada", "Ada", "ADA"])
def test_who_triggered_the_run_may_not_approve_it(ask: Any, starter: str) -> None:
    question = ask(require_other_person=True)
    question.run.triggering_user_name = starter
    with pytest.raises(ApprovalError, match="triggered this run"):
        question.answer(by=ADA)
    assert question.answer(by=BOB)["approved"] is True


@needs_airflow_3_1
@pytest.mark.parametrize(
    ("run_type", "taken"),
    [
        ("manual", False),
        ("DagRunType.MANUAL", False),
        ("backfill", False),
        ("", False),
        ("scheduled", True),
        ("DagRunType.ASSET_TRIGGERED", True),
    ],
)
def test_a_run_that_an_unknown_person_started_cannot_be_approved_where_another_one_is_required(
    ask: Any, run_type: str, taken: bool
) -> None:
    question = ask(require_other_person=True)
    question.run.triggering_user_name, question.run.run_type = None, run_type
    if taken:
        assert question.answer()["approved"] is True
    else:
        with pytest.raises(ApprovalError, match="does not say who triggered"):
            question.answer()


@needs_airflow_3_1
@pytest.mark.parametrize(
    "wrong", [{"body": "x"}, {"defaults": "Approve"}, {"defaults": ["Approve"]}, {"require_other_person": "True"}]
)
def test_what_would_weaken_the_question_is_refused_in_the_dag_file(
    monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgumentError):
        Question(monkeypatch, preview("a"), **wrong)


@needs_airflow_3_1
@pytest.mark.parametrize(
    "plan", ["text", {"videos": []}, [preview("a"), None], {**preview("a"), "plan_sha256": "0" * 64}]
)
def test_what_is_no_preview_is_not_asked_about(monkeypatch: pytest.MonkeyPatch, plan: Any) -> None:
    question = Question(monkeypatch, plan)
    with pytest.raises(InvalidArgumentError):
        question.ask()
    assert question.shown == {}


@pytest.mark.skipif(ASKS, reason="Airflow can ask")
def test_below_airflow_3_1_the_import_says_what_it_needs() -> None:
    with pytest.raises(ImportError, match=r"Airflow 3\.1 or newer"):
        import airflow_provider_iinked.operators.approval  # noqa: F401
