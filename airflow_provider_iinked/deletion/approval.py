"""
What a person approves: a plan of recordings and copies, its digest, and the table that is shown. Pure.

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

from airflow_provider_iinked.arguments import check_id
from airflow_provider_iinked.exceptions import ApprovalError, InvalidArgumentError
from airflow_provider_iinked.models import Video

MAX_ROWS: Final = 500
"""Rows of the table that is shown; a person does not read more, and the text has to fit Airflow's database."""
_MAX_DEPTH: Final = 20


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
    def key(self) -> tuple[str, str]:
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
    """

    plan_sha256: str
    responded_by: str
    responded_at: str


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


def plan_sha256(recordings: Iterable[PlannedDeletion], *, done: Mapping[tuple[str, str], str] | None = None) -> str:
    """
    Return the digest of a plan. The order of its recordings does not count.

    :param recordings: the recordings of the plan.
    :param done: digests of recordings of the same plan that an earlier try deleted, as their receipts say.
    :return: hex digest.
    """
    digests = {recording.key: recording.digest() for recording in recordings}
    return _sha256(sorted([*key, digest] for key, digest in {**(done or {}), **digests}.items()))


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
    :raises ApprovalError: when it is no person's yes; nothing may be deleted then.
    """
    if not isinstance(value, Mapping) or not {"approved", "plan_sha256", "responded_by"} <= value.keys():
        raise ApprovalError(
            "approval is not the output of an approval task; nothing was deleted. Pass `approve.output`."
        )
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
    return Approval(digest, by, at)


def plan_table(recordings: Sequence[PlannedDeletion]) -> str:
    """
    Write a plan as a Markdown table for the person who decides.

    :param recordings: the recordings.
    :return: Markdown; the digest of the plan stands below it.
    """
    rows = ["| package | recording | made | length | size | copies |", "|---|---|---|---|---:|---|"]
    rows += [_row(recording) for recording in recordings[:MAX_ROWS]]
    if len(recordings) > MAX_ROWS:
        rows.append(f"| ... | {len(recordings) - MAX_ROWS} more | | | | |")
    total = sum(recording.size or 0 for recording in recordings)
    packages = len({recording.key[0] for recording in recordings})
    bare = sum(not recording.copies for recording in recordings)
    lines = [
        f"**Deletes {len(recordings)} recordings of {packages} packages, {_bytes(total)}, from iinked Sign for good.**",
        *([f"**{bare} of them have no copy.**"] if bare else []),
        "",
        *rows,
        "",
        f"Plan: `{plan_sha256(recordings)}`",
    ]
    return "\n".join(lines)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _row(recording: PlannedDeletion) -> str:
    copies = "<br>".join(_copy(copy) for copy in recording.copies) or "**none**"
    cells = (
        recording.package_id,
        recording.meeting_video_id,
        recording.time_created or "unknown",
        recording.duration or "unknown",
        _bytes(recording.size) if recording.size is not None else "unknown",
    )
    return "| " + " | ".join([*map(_escape, cells), copies]) + " |"


def _copy(copy: PlannedCopy) -> str:
    lock = f"locked until {copy.retain_until} ({copy.retention_mode})" if copy.retain_until else "not locked"
    return _escape(f"{copy.uri}, {_bytes(copy.size)}, {lock}")


def _escape(text: str) -> str:
    """Keep a value from being read as Markdown or HTML."""
    escaped = "".join(f"\\{c}" if c in "\\`*_{}[]()#!|~" else c for c in text if c.isprintable())
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _bytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count:,} bytes"


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
