"""Whether the simulator's ledger, the copies on disk and Airflow's XComs tell the same story."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from airflow_provider_iinked.simulator import IinkedSimulator


@dataclass(frozen=True)
class Recording:
    """
    One recording, as seen from the disk.

    :param video_id: its id.
    :param copy: its copy, or None.
    :param record: its custody record, or None.
    :param receipt: its deletion receipt, or None.
    :param size: bytes of the copy, counted.
    :param sha256: hex digest of the copy, read from the disk.
    """

    video_id: str
    copy: Path | None
    record: Path | None
    receipt: Path | None
    size: int
    sha256: str


def look(folder: Path, video_id: str) -> Recording:
    """
    Read a recording's files from the disk.

    :param folder: the package's folder.
    :param video_id: the recording.
    :return: what is there.
    """
    record, receipt = folder / f"{video_id}.custody.json", folder / f"{video_id}.deletion.json"
    copy = None
    if record.exists():
        copy = Path(unquote(urlsplit(json.loads(record.read_text())["uri"]).path))
    digest, size = hashlib.sha256(), 0
    if copy is not None and copy.exists():
        with copy.open("rb") as stream:
            while data := stream.read(1 << 20):
                digest.update(data)
                size += len(data)
    return Recording(
        video_id,
        copy if copy is not None and copy.exists() else None,
        record if record.exists() else None,
        receipt if receipt.exists() else None,
        size,
        digest.hexdigest(),
    )


def judge(
    sim: IinkedSimulator, package_id: str, recordings: list[Recording], tasks: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[bool, str]]:
    """
    Compare the ledger, the copies and the XComs.

    :param sim: the simulator.
    :param package_id: the package that the Dag was run for.
    :param recordings: its recordings, as seen from the disk.
    :param tasks: for each task its state and XCom.
    :return: for each comparison whether it holds, and what it is.
    """
    ids = {recording.video_id for recording in recordings}
    xcoms = {name: task["xcom"] or {} for name, task in tasks.items()}
    waited = {video["meetingVideoId"] for video in _videos(xcoms.get("wait"))}
    copied = {copy["meeting_video_id"]: copy for copy in xcoms.get("download") or []}
    deleted = {video["meetingVideoId"] for video in _videos(xcoms.get("delete"))}
    ledger = sim.ledger.deletion_records

    yield all(task["state"] == "success" for task in tasks.values()) and bool(tasks), "every task succeeded"
    yield waited == ids, "XCom of wait: all recordings of the package"
    yield (
        all(one.copy and one.sha256 == sim.sha256(one.video_id) for one in recordings),
        ("each copy, read again from the disk, is the recording to the byte"),
    )
    yield (
        (
            set(copied) == ids
            and all(_agrees(one, copied[one.video_id]) and _agrees(one, _read(one.record)) for one in recordings)
        ),
        "XCom of download, custody records and copies agree in place, size and SHA-256",
    )
    yield deleted == ids, "XCom of delete: exactly the recordings that were copied"
    yield (
        sorted(deletion.video_id for deletion in ledger) == sorted(ids),
        ("the ledger shows exactly these deletions, each once, and none of another package"),
    )
    yield (
        all(deletion.by_id and deletion.package_id == package_id for deletion in ledger),
        ("each deletion was requested by its own id, none as `delete all`"),
    )
    yield all(_read(one.receipt).get("status") == "deleted" for one in recordings), "each deletion has its receipt"
    yield not sim.ledger.credentials_seen_by_recordings_host, "the API key never went to the recordings' host"


def _videos(answer: Any) -> list[dict[str, Any]]:
    return list(answer.get("videos", [])) if isinstance(answer, Mapping) else []


def _read(path: Path | None) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path else {}


def _agrees(recording: Recording, claim: Mapping[str, Any]) -> bool:
    same_place = recording.copy is not None and claim.get("uri") == f"file://{recording.copy}"
    return same_place and claim.get("size") == recording.size and claim.get("sha256") == recording.sha256
