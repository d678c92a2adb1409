"""
How far the wait for one or several packages has come: who is ready, who failed, how many errors in a row. Pure.

Sensor and trigger keep their wait in this object, so a package that fails holds up no other one in any mode, and the
end is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_iinked.api.errors import concerns_all
from airflow_provider_iinked.exceptions import (
    IinkedSignError,
    IinkedSignPermanentError,
    PackagesFailedError,
    RateLimitError,
)
from airflow_provider_iinked.waiting.wait_condition import WaitCondition, WaitStatus


class WaitProgress:
    """
    The state of a wait.

    :param condition: what is waited for.
    :param max_consecutive_errors: how many errors in a row of one package are tolerated.
    :param consecutive_errors: how many there were before.
    """

    def __init__(self, condition: WaitCondition, max_consecutive_errors: int, consecutive_errors: int = 0) -> None:
        self.condition = condition
        self.max_consecutive_errors = max_consecutive_errors
        self.warned: dict[str, float] = {}
        self._errors = dict.fromkeys(condition.packages.ids, consecutive_errors) if consecutive_errors else {}
        self._ready: dict[str, list[dict[str, Any]]] = {}
        self._failed: dict[str, str] = {}
        self._waiting_for: dict[str, tuple[str, ...]] = {}

    @property
    def pending(self) -> list[str]:
        """The packages that are still waited for, in the order given."""
        if self.condition.is_empty:
            return []
        return [one for one in self.condition.packages.ids if self.is_pending(one)]

    def ready_despite(self, error: BaseException | None = None) -> list[str]:
        """
        Tell which packages the next task may work on although the wait did not succeed.

        :param error: what ended the wait; None for a timeout.
        :return: those whose wait is over, in the order given; none after an error that concerns the service as a whole.
        """
        if isinstance(error, IinkedSignError) and not isinstance(error, PackagesFailedError):
            return []
        return [one for one in self.condition.packages.ids if one in self._ready]

    def is_pending(self, package_id: str) -> bool:
        """
        Check whether a package is still waited for.

        :param package_id: one of the packages.
        :return: True while it is neither ready nor has failed.
        """
        return package_id not in self._ready and package_id not in self._failed

    @property
    def consecutive_errors(self) -> int:
        """The longest row of errors of a package that is still waited for."""
        return max((self._errors.get(one, 0) for one in self.pending), default=0)

    def note(self, package_id: str, status: WaitStatus) -> None:
        """
        Take what a list says.

        :param package_id: the package.
        :param status: the decision on it.
        """
        self._errors.pop(package_id, None)
        self._waiting_for[package_id] = status.waiting_for
        if status.ready:
            self._ready[package_id] = [video.xcom_fields() for video in status.archived]

    def note_unchanged(self, package_id: str) -> None:
        """
        Take that a list says what it said before.

        :param package_id: the package.
        """
        self._errors.pop(package_id, None)

    def note_error(self, package_id: str, error: IinkedSignError) -> str:
        """
        Take an error of one package.

        :param package_id: the package.
        :param error: the error.
        :return: what to log: the wait goes on, for this package or for the others.
        :raises IinkedSignError: the error itself, when it ends the wait for all.
        """
        if isinstance(error, IinkedSignPermanentError):
            if not self.condition.packages.as_list or concerns_all(error):
                raise error
            self._failed[package_id] = str(error)
            return f"{error} The wait for the other packages goes on."
        if isinstance(error, RateLimitError) and error.retry_after is not None:
            return f"{error} Still waiting."
        count = self._errors.get(package_id, 0) + 1
        if count > self.max_consecutive_errors:
            self._errors.pop(package_id, None)
            raise error
        self._errors[package_id] = count
        return f"{error} Consecutive error {count} of {self.max_consecutive_errors} allowed."

    def result(self) -> Any:
        """
        Return the XCom, when nothing is pending.

        :return: the API's list response without URLs, or a list of these.
        :raises PackagesFailedError: when some packages failed; it names each.
        """
        if self._failed:
            raise PackagesFailedError(self.describe_failures())
        return self.condition.response(self._ready)

    def describe_failures(self) -> str:
        """Return what became of the packages that failed; '' where none did."""
        if not self._failed:
            return ""
        others = len(self.condition.packages.ids) - len(self._failed)
        return (
            f"{len(self._failed)} of {len(self.condition.packages.ids)} packages failed, the other {others} did not: "
            + " | ".join(f"[{one}] {message}" for one, message in self._failed.items())
        )

    def describe_pending(self) -> str:
        """Return what is still waited for, for a timeout's message."""
        parts = [f"Package {one}: {', '.join(self._waiting_for.get(one, ())) or 'an answer'}" for one in self.pending]
        shown = "; ".join(parts[:10]) + (f"; and {len(parts) - 10} more packages" if len(parts) > 10 else "")
        failed = self.describe_failures()
        return f"Timeout, still waiting for: {shown}. Nothing was done." + (f" {failed}" if failed else "")

    def to_dict(self) -> dict[str, Any]:
        """Return what must survive between the pokes of a task; JSON types only."""
        return {
            "errors": dict(self._errors),
            "ready": dict(self._ready),
            "failed": dict(self._failed),
            "warned": dict(self.warned),
        }

    def restore(self, kept: object) -> None:
        """
        Take up what :meth:`to_dict` returned in an earlier process; anything else changes nothing.

        :param kept: the value.
        """
        if not isinstance(kept, Mapping):
            return
        ids = set(self.condition.packages.ids)
        for name, target in (("errors", self._errors), ("ready", self._ready), ("failed", self._failed)):
            part = kept.get(name)
            if isinstance(part, Mapping):
                target.update({one: value for one, value in part.items() if one in ids})
        if isinstance(warned := kept.get("warned"), Mapping):
            self.warned.update(warned)
