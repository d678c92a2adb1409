"""Names that the API gives never lead out of the destination's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_iinked.exceptions import IinkedSignError, UnexpectedAnswerError
from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator
from tests.secrets.hostile_server import hostile_server

MP4 = b"\0\0\0\x18ftypisom" + b"\0" * 500
BAD_NAMES = [
    "../evil", "../../evil", "/tmp/evil", "a/b", "..", ".", "a\\b", "..\\evil", "a\0b", "%2e%2e%2fevil", "evil/../../x",
    "", " ", "a b", "a\n", "x.custody", "x.mp4", "~root", "$HOME", "con:", "e\u0301vil", "\u202egnp", "..;/x", "file:///x",
]  # fmt: skip


def _connect(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    connection = {"conn_type": "iinked_sign", "host": f"{origin}/api/v1", "password": "k" * 20}
    connection["extra"] = {"max_retries": 0, "timeout": 20}
    monkeypatch.setenv("AIRFLOW_CONN_IINKED_SIGN_DEFAULT", json.dumps(connection))


def _video(name: Any, origin: str) -> dict[str, Any]:
    return {"meetingVideoId": name, "state": "archived", "size": len(MP4), "url": f"{origin}/recording?access=abc"}


def _tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_listed_id_that_is_no_id_becomes_no_file(
    name: str, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(path: str) -> Any:
        return MP4 if path.startswith("/recording") else {"packageId": "p1", "videos": [_video(name, origins[0])]}

    origins: list[str] = []
    with hostile_server(answer) as (origin, asked):
        origins.append(origin)
        _connect(monkeypatch, origin)
        with pytest.raises(UnexpectedAnswerError):
            IinkedDownloadVideosOperator(
                task_id="download", package_id="p1", destination=f"file://{tmp_path}/inside"
            ).execute({})
        with pytest.raises(UnexpectedAnswerError):
            IinkedDeleteVideosOperator(
                task_id="delete", package_id="p1", delete_all=True, receipt_destination=f"file://{tmp_path}/inside"
            ).execute({})
    assert _tree(tmp_path) == []
    assert not [path for path in asked if "delete" in path or "recording" in path]


def test_an_id_that_is_too_long_for_a_file_name_is_an_error_of_ours(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(path: str) -> Any:
        return MP4 if path.startswith("/recording") else {"packageId": "p1", "videos": [_video("x" * 300, origins[0])]}

    origins: list[str] = []
    with hostile_server(answer) as (origin, _):
        origins.append(origin)
        _connect(monkeypatch, origin)
        with pytest.raises(IinkedSignError):
            IinkedDownloadVideosOperator(task_id="download", package_id="p1", destination=f"file://{tmp_path}").execute(
                {}
            )
    assert _tree(tmp_path) == []
