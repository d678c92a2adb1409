"""What has to lie in a folder of copies once the chain is done, read without the provider."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from airflow_provider_iinked.simulator import IinkedSimulator


def check_archive(folder: Path, video_ids: dict[str, str], *, complete: bool = True) -> None:
    """
    Nothing but copies, records and receipts lies there, all of which agree.

    :param folder: the folder of one package.
    :param video_ids: SHA-256 of each recording by its id.
    :param complete: False: the run was ended, and receipts of requests may not have been answered.
    """
    ends = ("mp4", "custody.json", "deletion.json")
    expected = {f"{video_id}.{end}" for video_id in video_ids for end in ends}
    assert {path.name for path in folder.iterdir()} == expected, "something is missing, or lies there besides"
    for video_id, sha256 in video_ids.items():
        record = json.loads((folder / f"{video_id}.custody.json").read_text())
        receipt = json.loads((folder / f"{video_id}.deletion.json").read_text())
        copy = (folder / f"{video_id}.mp4").read_bytes()
        assert hashlib.sha256(copy).hexdigest() == record["sha256"] == sha256
        assert receipt["status"] in (("deleted",) if complete else ("deleted", "requested"))
        assert receipt["proof"]["sha256"] == sha256


def check_all_archived(sim: IinkedSimulator, copies: Path, packages: list[str]) -> int:
    """
    Every recording of the packages was copied, verified, and deleted by id with one request.

    :return: how many recordings there are.
    """
    videos = {package.package_id: list(package.videos) for package in sim.packages() if package.package_id in packages}
    ours = [video for owned in videos.values() for video in owned]
    requested = [request.video_id for request in sim.ledger.delete_requests if request.package_id in packages]
    gone = [deletion for deletion in sim.ledger.deletion_records if deletion.package_id in packages]
    assert sorted(requested) == sorted(ours), "each deletion is sent once"
    assert sorted(deletion.video_id for deletion in gone) == sorted(ours)
    assert all(deletion.by_id for deletion in gone)
    for package, owned in videos.items():
        check_archive(copies / package, {video: sim.sha256(video) for video in owned})
    return len(ours)
