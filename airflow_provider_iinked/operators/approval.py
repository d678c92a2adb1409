"""
A person's approval of a deletion, on the standard provider's ``ApprovalOperator``: Airflow 3.1 and newer.

.. seealso:: https://airflow.apache.org/docs/apache-airflow-providers-standard/stable/operators/hitl.html
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_iinked.arguments import require_bool, require_not_none
from airflow_provider_iinked.exceptions import ApprovalError, InvalidArgumentError

try:
    from airflow.providers.standard.exceptions import HITLRejectException
    from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
    from airflow.sdk import Param
    from airflow.sdk.definitions.param import ParamsDict
except Exception as error:  # below Airflow 3.1 the module itself raises an error of Airflow's own
    raise ImportError(
        "IinkedApproveDeletionOperator needs Airflow 3.1 or newer and apache-airflow-providers-standard. "
        "Everything else of this provider works without them."
    ) from error

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

_STARTED_BY_NOBODY = ("scheduled", "asset_triggered")
"""Types of runs that no person starts; every other one has a person behind it, named or not."""
DIGEST_FIELD = "plan_sha256"
"""The form's field that carries the digest of the shown plan; it must not be edited."""


class IinkedApproveDeletionOperator(ApprovalOperator):
    """
    Show the plan of a deletion to a person and ask; the delete operator's ``approval`` takes the answer.

    ``preview >> approve >> delete``: the preview (``preview=True``) lists and verifies, this task shows its plan as a
    table, and the deletion (``approval=approve.output``) deletes only what that plan names, and only while it is still
    true. The digest of the plan that the person saw travels with the answer, since Airflow up to 3.3 shows the old text
    again after a clear.

    A rejection skips what follows, as with ``ApprovalOperator``. An answer that a timeout gave is never an approval.
    What fails the task fails it for good, whatever its ``retries``: a person is asked once.

    :param plan: the preview's XCom: pass ``preview.output``. (templated)
    :param require_other_person: True to refuse an answer by the user who triggered the run (four eyes).
    :param subject: headline. (templated)
    :param assigned_users: who may answer, as ``HITLUser(id=..., name=...)``; checked by Airflow and again here.
    :param response_timeout: how long to wait for an answer; without one nothing is deleted. None: without end.
    :param kwargs: what ``ApprovalOperator`` takes, such as ``notifiers``; ``defaults`` may only be ``Reject``.
    :return: ``approved``, ``plan_sha256``, ``responded_by`` and ``responded_at``; ``entries``, the digest of each
        recording, lets an error say which one changed.
    :raises ImportError: at import, below Airflow 3.1.
    """

    template_fields: Sequence[str] = ("subject", "plan")
    ui_color = "#f2e9c9"

    def __init__(
        self,
        *,
        plan: Any,
        require_other_person: bool = False,
        subject: str = "Delete recordings from iinked Sign",
        response_timeout: timedelta | None = None,
        **kwargs: Any,
    ) -> None:
        require_not_none(plan, "plan")
        require_bool(require_other_person, "require_other_person")
        if "body" in kwargs:
            raise InvalidArgumentError("body is made from the plan; leave it out.")
        if kwargs.get("defaults") not in (None, self.REJECT, [self.REJECT]):
            raise InvalidArgumentError(f"defaults may only be {self.REJECT!r}: a timeout must not delete anything.")
        if response_timeout is not None:
            # Standard providers of Airflow 3.1 take the time for the answer as the task's own timeout.
            takes_it = "response_timeout" in inspect.signature(HITLOperator.__init__).parameters
            kwargs["response_timeout" if takes_it else "execution_timeout"] = response_timeout
        super().__init__(subject=subject, **kwargs)
        self.subject = subject
        self.plan = plan
        self.require_other_person = require_other_person

    def execute(self, context: Context) -> Any:
        """
        Show the plan and wait for the answer.

        :param context: Airflow's context.
        :return: ``approved`` False for a plan without recordings, which nobody has to be asked about; else Airflow
            parks the task and goes on with :meth:`execute_complete`.
        :raises InvalidArgumentError: when ``plan`` is not the output of a preview.
        """
        from airflow_provider_iinked.deletion.approval import plan_sha256, read_plan
        from airflow_provider_iinked.deletion.plan_table import plan_table

        recordings = read_plan(self.plan)
        digest = plan_sha256(recordings)
        if not recordings:
            self.log.info("The plan names no recording; there is nothing to approve.")
            nobody = {"responded_by": None, "responded_at": None}
            return {"approved": False, "plan_sha256": digest, **nobody, "entries": []}
        self.body = plan_table(recordings)
        self.params = _form(digest)
        self.log.info("Asking for approval of %d recordings, plan %s.", len(recordings), digest)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """
        Take the answer.

        :param context: Airflow's context.
        :param event: the answer, from Airflow.
        :return: ``approved``, ``plan_sha256`` (of the plan that the person saw), ``responded_by``, ``responded_at``.
        :raises ApprovalError: for an approval by nobody, by somebody who may not give it, or of another plan; when
            nobody answered in time; for a rejection with ``fail_on_reject``.
        """
        from airflow_provider_iinked.deletion.approval import plan_entries, plan_sha256, read_plan

        # A Dag's own params are every task's params too; the answer has the form's field alone.
        self.params = _form("")
        try:
            answer = super().execute_complete(context, event)
        except HITLRejectException:  # with fail_on_reject; Airflow would try the task again, and ask again
            by = _name_of(event.get("responded_by_user")) or "a timeout"
            raise ApprovalError(f"The deletion was rejected by {by}. Nothing was deleted.") from None
        seen = (answer.get("params_input") or {}).get(DIGEST_FIELD)
        by = answer.get("responded_by_user")
        approved = answer["chosen_options"] == [self.APPROVE]
        entries: list[list[str]] = []
        if approved:
            self._check_person(context, by, timed_out=bool(event.get("timedout")))
            recordings = read_plan(self.plan)
            digest = plan_sha256(recordings)
            entries = [[*key, one] for key, one in plan_entries(recordings).items()]
            if seen != digest:
                raise ApprovalError(
                    "The answer belongs to another plan than the present one: the text that was shown is old, or its "
                    "digest was edited. Nothing was deleted. Start a new run; a cleared approval shows its old text."
                )
        at = answer["responded_at"]
        return {
            "approved": approved,
            "plan_sha256": seen,
            "responded_by": _name_of(by),
            "responded_at": at.isoformat() if hasattr(at, "isoformat") else at,
            "entries": entries,
        }

    def process_trigger_event_error(self, event: dict[str, Any]) -> None:
        """
        Fail for good when nobody answered in time: a task with retries would ask again, and wait as long again.

        :param event: the error, from Airflow.
        :raises ApprovalError: when the time is over.
        """
        if event.get("error_type") == "timeout":
            raise ApprovalError(
                "Nobody answered within response_timeout. Nothing was deleted. Start a new run to ask again."
            )
        super().process_trigger_event_error(event)

    def _check_person(self, context: Context, by: Mapping[str, Any] | None, *, timed_out: bool) -> None:
        """Refuse an approval that no person gave, or not the right one."""
        if by is None or timed_out:
            raise ApprovalError("No person answered; the approval is not taken. Nothing was deleted.")
        allowed = [user["id"] for user in self.assigned_users or []]
        if allowed and by.get("id") not in allowed:
            raise ApprovalError(f"{_name_of(by)} is not among the assigned users. Nothing was deleted.")
        if not self.require_other_person:
            return
        run = context["dag_run"]
        starter = getattr(run, "triggering_user_name", None)
        if starter is None and str(getattr(run, "run_type", "")).rpartition(".")[2].lower() not in _STARTED_BY_NOBODY:
            raise ApprovalError(
                "require_other_person: Airflow does not say who triggered this run, so the approval is not taken. "
                "Nothing was deleted. It says it of runs that a user triggers on its page or through its REST API."
            )
        if starter is not None and starter.casefold() in {str(by.get(name)).casefold() for name in ("id", "name")}:
            raise ApprovalError(f"{starter} triggered this run and may not approve it. Nothing was deleted.")


def _form(digest: str) -> ParamsDict:
    """Make the form that carries the digest of the shown plan; none of the Dag's params is in it."""
    note = "Leave it as it is: it binds your answer to the plan above."
    return ParamsDict({DIGEST_FIELD: Param(digest, type="string", title="Digest of the plan", description=note)})


def _name_of(user: Mapping[str, Any] | None) -> str | None:
    return None if user is None else str(user.get("name") or user.get("id"))
