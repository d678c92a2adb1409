"""Single mishaps on a plan: which request is hit, and how. Only the decision is here; ``hosts`` carries it out."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any, Literal, get_args

Call = Literal["list", "delete", "packages", "get", "status", "recording", "storage", "other", "any"]
Kind = Literal[
    "refuse",
    "reset",
    "stall",
    "cut",
    "status",
    "html",
    "broken_json",
    "wrong_type",
    "redirect",
    "lost_answer",
    "delete_all_instead",
    "clock_jump",
    "expire",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """One mishap.

    :param call: which call: ``list`` (videos of a package), ``delete``, ``packages`` (list of packages), ``get``,
        ``status``, ``recording``, ``storage`` (where a redirected recording leads), ``other`` or ``any``.
    :param kind: what happens: ``refuse`` (socket closed before any answer), ``reset`` (the same, with RST),
        ``stall`` (``seconds`` of silence, then as usual), ``cut`` (closed after ``after`` bytes of the body),
        ``status`` (``status``, ``body``, ``headers``), ``html`` (200 with a web page), ``broken_json``,
        ``wrong_type`` (JSON of another shape), ``redirect`` (``status`` to ``location``),
        ``lost_answer`` (the work is done, the socket closed), ``delete_all_instead`` (all videos go, ``hide``: unsaid),
        ``clock_jump`` (``seconds`` pass while answering), ``expire`` (cut after ``after`` bytes, and the URL ends).
    :param on: which matching requests, counted from 1: ``first``, a number, a range or ``always``.
    :param times: at most so many times; None: no limit.
    :param package_id: only requests about this package.
    :param video_id: only requests about this video.
    :param seconds: for ``stall`` and ``clock_jump``.
    :param after: for ``cut`` and ``expire``.
    :param status: for ``status`` and ``redirect``.
    :param body: for ``status``: text is sent as HTML, anything else as JSON; None: the API's own error form.
    :param headers: for ``status``, such as ``{"Retry-After": "2"}``.
    :param location: for ``redirect``; None: the same path on another host name.
    :param work: for ``status``, ``html`` and ``redirect`` of an API call: the call's work is done all the same.
        (``cut``, ``broken_json``, ``wrong_type`` and ``lost_answer`` always do it, ``refuse`` and ``reset`` never.)
    :param hide: for ``delete_all_instead``: the answer names only what was requested.
    """

    call: Call
    kind: Kind
    on: Literal["first", "always"] | int | range = "first"
    times: int | None = None
    package_id: str | None = None
    video_id: str | None = None
    seconds: float = 0.0
    after: int = 0
    status: int = 0
    body: Any = None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    location: str | None = None
    work: bool = False
    hide: bool = False

    def __post_init__(self) -> None:
        if self.call not in get_args(Call) or self.kind not in get_args(Kind):
            raise ValueError(f"unknown call or kind: {self.call!r}, {self.kind!r}")
        if self.on not in ("first", "always") and not isinstance(self.on, (int, range)):
            raise ValueError(f"on must be 'first', 'always', a number or a range, not {self.on!r}")
        if self.kind == "status" and not self.status:
            raise ValueError("a fault of kind 'status' needs status=")

    def matches(self, call: str, package_id: str | None, video_id: str | None) -> bool:
        """Whether a request is of the kind this fault waits for.

        :param call: name of the call.
        :param package_id: the request's package, if it has one.
        :param video_id: the request's video, if it has one.
        """
        return (
            self.call in ("any", call) and self.package_id in (None, package_id) and self.video_id in (None, video_id)
        )

    def due(self, ordinal: int, applied: int) -> bool:
        """Whether the fault hits a matching request.

        :param ordinal: which matching request this is, from 1.
        :param applied: how often the fault hit before.
        """
        if self.times is not None and applied >= self.times:
            return False
        if isinstance(self.on, range):
            return ordinal in self.on
        return self.on == "always" or ordinal == (1 if self.on == "first" else self.on)


@dataclasses.dataclass
class _Planned:
    fault: Fault
    seen: int = 0
    applied: int = 0


class FaultPlan:
    """The faults that wait for their request. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[_Planned] = []

    def add(self, *faults: Fault) -> None:
        """Plan mishaps; counting starts now.

        :param faults: where several hit one request, the earliest added wins.
        """
        with self._lock:
            self._planned += [_Planned(fault) for fault in faults]

    def clear(self) -> None:
        """Forget all that is planned."""
        with self._lock:
            self._planned.clear()

    def applied(self, fault: Fault) -> int:
        """How often a planned fault has hit.

        :param fault: one that was added.
        """
        with self._lock:
            return sum(plan.applied for plan in self._planned if plan.fault is fault)

    def decide(self, call: str, package_id: str | None = None, video_id: str | None = None) -> Fault | None:
        """Count a request, and say which fault hits it.

        :param call: name of the call.
        :param package_id: the request's package, if it has one.
        :param video_id: the request's video, if it has one.
        """
        if not self._planned:
            return None
        with self._lock:
            hit: _Planned | None = None
            for plan in self._planned:
                if not plan.fault.matches(call, package_id, video_id):
                    continue
                plan.seen += 1
                if hit is None and plan.fault.due(plan.seen, plan.applied):
                    hit = plan
            if hit is None:
                return None
            hit.applied += 1
            return hit.fault
