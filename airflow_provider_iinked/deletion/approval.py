"""
What a person approves: a plan of recordings and copies, and its digest. Pure.

The digest is all that binds an answer to a plan: it is made from the plan when a person is asked, it travels with the
answer, and it is made again from what is listed and verified at the moment of the deletion. Airflow up to 3.3 keeps
the old text of an approval that is cleared; the old digest stays with it, so such an answer never fits a new plan.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from airflow_provider_iinked.arguments import check_id, is_empty_word
from airflow_provider_iinked.exceptions import (
    ApprovalError,
    InvalidArgumentError,
    StateNotAllowedError,
    VerificationError,
)
from airflow_provider_iinked.models import Video

_MAX_DEPTH: Final = 20

Key = tuple[str, str]
"""Package and recording, case-folded."""

NOT_AS_APPROVED: Final = (ApprovalError, StateNotAllowedError, VerificationError)
"""With an approval, what is found to differ at one recording ends the whole deletion."""


@dataclass(frozen=True)
class PlannedCopy:
    """
    One verified copy that a planned deletion rests on.

    :param uri: where it lies.
    :param size: its bytes.
    :param sha256: hex digest of its bytes.
    :param retain_until: ISO 8601 time until which the store keeps it locked; None without a lock.
    :param retention_mode: ``COMPLIANCE`` or ``GOVERNANCE``; None without a lock.
    """

    uri: str
    size: int
    sha256: str
    retain_until: str | None = None
    retention_mode: str | None = None


@dataclass(frozen=True)
class PlannedDeletion:
    """
    One recording of a plan: what it is on the platform, and the copies that remain.

    :param api_base: base URL of the API.
    :param package_id: its package.
    :param meeting_video_id: the recording.
    :param time_created: ``timeCreated`` as listed.
    :param duration: ``duration`` as listed.
    :param size: ``size`` as listed, bytes.
    :param meeting_id: ``meetingId`` as listed.
    :param copies: the copies; empty for a deletion without copies.
    """

    api_base: str
    package_id: str
    meeting_video_id: str
    time_created: str | None = None
    duration: str | None = None
    size: int | None = None
    meeting_id: str | None = None
    copies: tuple[PlannedCopy, ...] = ()

    @property
    def key(self) -> Key:
        """Package and recording, without regard to case: an id that differs by case alone is the same."""
        return self.package_id.casefold(), self.meeting_video_id.casefold()

    def digest(self) -> str:
        """
        Return the sha256 of all that a person sees of this recording.

        :return: hex digest.
        """
        shown = {**asdict(self), "copies": sorted((asdict(copy) for copy in self.copies), key=lambda copy: copy["uri"])}
        return _sha256(shown)

    def as_xcom(self) -> dict[str, Any]:
        """Return it ready for an XCom."""
        return {**asdict(self), "copies": [asdict(copy) for copy in self.copies]}


@dataclass(frozen=True)
class Approval:
    """
    A person's yes.

    :param plan_sha256: digest of the plan that the person saw.
    :param responded_by: who it was.
    :param responded_at: ISO 8601 time of the answer.
    :param entries: the digest of each recording of that plan; None where the answer does not carry them. They only
        serve to say what changed.
    """

    plan_sha256: str
    responded_by: str
    responded_at: str
    entries: Mapping[Key, str] | None = None

    def receipt_fields(self, recording_sha256: str) -> dict[str, str]:
        """
        Return what the receipt of one recording says about the approval.

        :param recording_sha256: the recording's digest in the plan.
        :return: who approved when, and the digests of the plan and of the recording.
        """
        return {
            "plan_sha256": self.plan_sha256,
            "responded_by": self.responded_by,
            "responded_at": self.responded_at,
            "recording_sha256": recording_sha256,
        }


def planned_deletion(
    api_base: str, package_id: str, video: Video, facts: Iterable[Mapping[str, Any]] = ()
) -> PlannedDeletion:
    """
    Describe the deletion of one recording.

    :param api_base: base URL of the API.
    :param package_id: its package.
    :param video: the recording as listed.
    :param facts: what verifying its copies showed, as receipts hold it; none for a deletion without copies.
    :return: the planned deletion.
    """
    shown = video.public_fields()
    return PlannedDeletion(
        api_base=api_base,
        package_id=package_id,
        meeting_video_id=video.meeting_video_id,
        time_created=_text(shown.get("timeCreated")),
        duration=_text(shown.get("duration")),
        size=video.size,
        meeting_id=_text(shown.get("meetingId")),
        copies=tuple(
            PlannedCopy(fact["uri"], fact["size"], fact["sha256"], fact.get("retain_until"), fact.get("retention_mode"))
            for fact in facts
        ),
    )


def plan_entries(recordings: Iterable[PlannedDeletion]) -> dict[Key, str]:
    """
    Return the digest of each recording of a plan.

    :param recordings: the recordings.
    :return: the digests.
    """
    return {recording.key: recording.digest() for recording in recordings}


def plan_sha256(recordings: Iterable[PlannedDeletion], *, done: Mapping[Key, str] | None = None) -> str:
    """
    Return the digest of a plan. The order of its recordings does not count.

    :param recordings: the recordings of the plan.
    :param done: digests of recordings of the same plan that an earlier try deleted, as their receipts say.
    :return: hex digest.
    """
    return _digest_of({**(done or {}), **plan_entries(recordings)})


def read_plan(previews: object) -> tuple[PlannedDeletion, ...]:
    """
    Read the plan out of the XCom of a ``preview=True`` deletion.

    :param previews: one preview or (nested) lists of them, as mapped tasks return.
    :return: the recordings, each once.
    :raises InvalidArgumentError: for anything else, and for a preview whose digest is not that of its plan.
    """
    found: dict[tuple[str, str], PlannedDeletion] = {}
    for preview in _flatten(previews, _MAX_DEPTH):
        if preview.get("preview") is not True or not isinstance(preview.get("plan"), list):
            raise InvalidArgumentError(
                "plan is not the output of a deletion with preview=True. Nothing was asked. Pass `preview.output`."
            )
        recordings = [_read_recording(item) for item in preview["plan"]]
        if preview.get("plan_sha256") != plan_sha256(recordings):
            raise InvalidArgumentError(
                "The plan and its plan_sha256 do not agree. Nothing was asked. Run the preview again."
            )
        for recording in recordings:
            if found.setdefault(recording.key, recording) != recording:
                raise InvalidArgumentError(
                    f"The plan names video {recording.meeting_video_id} of package {recording.package_id} twice, "
                    "differently. Nothing was asked. Run the preview again."
                )
    return tuple(found.values())


def parse_approval(value: object) -> Approval:
    """
    Read the XCom of the approval task.

    :param value: a mapping with ``approved``, ``plan_sha256``, ``responded_by`` and ``responded_at``.
    :return: the approval.
    :raises InvalidArgumentError: when it is empty.
    :raises ApprovalError: when it is no person's yes; nothing may be deleted then.
    """
    if value is None or value in ({}, [], ()) or (isinstance(value, str) and _is_blank(value)):
        raise InvalidArgumentError(
            "approval is empty: the approval task returned nothing, as after a refusal or a timeout. Nothing was sent."
        )
    if not isinstance(value, Mapping) or not {"approved", "plan_sha256", "responded_by"} <= value.keys():
        raise ApprovalError(
            "approval is not the output of an approval task; nothing was deleted. Pass `approve.output`."
        )
    if value["approved"] is False and value["responded_by"] is None and value["plan_sha256"] == plan_sha256([]):
        # Nobody was asked about an empty plan; what it allows is nothing.
        return Approval(plan_sha256([]), "nobody", "", {})
    if value["approved"] is not True:
        raise ApprovalError(
            f"The deletion was not approved (answer of {_who(value)}); nothing was deleted. "
            "Start a new run to ask again."
        )
    digest, by, at = value["plan_sha256"], value["responded_by"], value.get("responded_at")
    if not isinstance(by, str) or not by.strip():
        raise ApprovalError("No person answered the approval; nothing was deleted. Start a new run to ask again.")
    if not isinstance(digest, str) or len(digest) != 64 or not isinstance(at, str) or not at:
        raise ApprovalError(
            "The approval carries no digest or no time; nothing was deleted. Start a new run to ask again."
        )
    return Approval(digest, by, at, _read_entries(value.get("entries"), digest))


def approval_problem(
    approval: Approval, now: Mapping[Key, str], done: Mapping[Key, str], gone: Iterable[Key]
) -> ApprovalError | None:
    """
    Compare an approved plan with what is there now.

    :param approval: the person's yes.
    :param now: digests of what is listed and verified now.
    :param done: digests of what an earlier try of this task deleted under the same approval, as its receipts say.
    :param gone: recordings that are deleted, or no longer listed.
    :return: why nothing may be deleted; None when the plan is still true, and when nothing is left to delete.
    """
    if not now or _digest_of({**done, **now}) == approval.plan_sha256:
        return None
    return ApprovalError(
        f"This deletion is not the one that {approval.responded_by} approved: "
        f"{_difference(approval, now, done, set(gone))}. Nothing was sent. Start a new run, so that the present plan "
        "is shown; a cleared approval may show its old text, and is refused then."
    )


def _difference(approval: Approval, now: Mapping[Key, str], done: Mapping[Key, str], gone: set[Key]) -> str:
    """Say what differs, where the answer carries the digests of its plan."""
    entries = approval.entries
    if entries is None:
        return "a recording came, went or changed, or a copy did, or the approval is of another plan"
    if not entries.keys() & {*now, *done, *gone}:
        return "the approval is of another plan, which names none of these recordings"
    parts = {
        "not in the approved plan": now.keys() - entries.keys(),
        "changed since, on the platform or in a copy": {key for key in now if entries.get(key, now[key]) != now[key]},
        "in the approved plan and gone, without a receipt of this task": gone & (entries.keys() - done.keys()),
        "in the approved plan and not in this deletion": entries.keys() - {*now, *done, *gone},
    }
    return "; ".join(
        f"{what}: {', '.join('/'.join(key) for key in sorted(keys))}" for what, keys in parts.items() if keys
    )


def _read_entries(value: object, digest: str) -> dict[Key, str] | None:
    if value is None:
        return None
    rows: list[Any] = value if isinstance(value, list) else []
    readable = all(isinstance(row, list) and len(row) == 3 for row in rows)
    entries = {(str(package), str(video)): str(sha256) for package, video, sha256 in rows if readable}
    if _digest_of(entries) != digest:
        raise ApprovalError(
            "The approval and its plan_sha256 do not agree; nothing was deleted. Start a new run to ask again."
        )
    return entries


def _is_blank(text: str) -> bool:
    return not text.strip() or is_empty_word(text.strip())


def _digest_of(entries: Mapping[Key, str]) -> str:
    return _sha256(sorted([*key, digest] for key, digest in entries.items()))


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _who(value: Mapping[str, Any]) -> str:
    by = value.get("responded_by")
    return by if isinstance(by, str) and by else "nobody"


def _sha256(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _flatten(value: object, depth: int) -> Iterable[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)) and depth:
        for item in value:
            yield from _flatten(item, depth - 1)
    else:
        raise InvalidArgumentError(
            f"plan must be the output of a deletion with preview=True, not {type(value).__name__}. Nothing was asked."
        )


def _read_recording(item: object) -> PlannedDeletion:
    try:
        if not isinstance(item, Mapping):
            raise TypeError
        fields = dict(item)
        copies = tuple(PlannedCopy(**copy) for copy in fields.pop("copies"))
        recording = PlannedDeletion(**fields, copies=copies)
    except (TypeError, KeyError):
        raise InvalidArgumentError("The plan cannot be read. Nothing was asked. Run the preview again.") from None
    check_id(recording.package_id, "plan.package_id")
    check_id(recording.meeting_video_id, "plan.meeting_video_id")
    return recording
