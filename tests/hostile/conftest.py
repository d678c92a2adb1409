from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.hostile_platform import KEY, PACKAGE, TOKEN, Platform, hostile_platform


@dataclass(frozen=True)
class Ground:
    """A hostile platform, and the provider's tasks against it."""

    platform: Platform
    folder: Path
    chain: Any

    @property
    def destination(self) -> str:
        return f"file://{self.folder}"

    def download(self, **arguments: Any) -> Any:
        return self.chain.download(PACKAGE, **{"destination": self.destination, **arguments})

    def delete(self, **arguments: Any) -> Any:
        return self.chain.delete(**arguments)

    def names(self) -> list[str]:
        folder = self.folder / PACKAGE
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def path(self, name: str) -> Path:
        return self.folder / PACKAGE / name

    def holds(self, *videos: str, besides: tuple[str, ...] = ()) -> None:
        """The whole copies of these recordings and their records lie there, and nothing else."""
        expected = [name for video in videos for name in (f"{video}.mp4", f"{video}.custody.json")]
        assert self.names() == sorted([*expected, *besides])
        for video in videos:
            assert self.path(f"{video}.mp4").read_bytes() == self.platform.bytes_of[video]
            assert TOKEN not in self.path(f"{video}.custody.json").read_text()


@pytest.fixture
def ground(
    chain: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[Ground]:
    """After each test: every deletion named its recording, no credential went astray, no secret was logged."""
    caplog.set_level(logging.DEBUG)
    with hostile_platform() as platform:
        monkeypatch.setenv("AIRFLOW_CONN_IINKED_SIGN_DEFAULT", platform.connection())
        yield Ground(platform, tmp_path / "copies", chain)
        for asked in platform.calls("delete"):
            body = json.loads(asked.body)
            assert set(body) == {"packageId", "meetingVideoId"}
            assert body["packageId"] == PACKAGE
            assert body["meetingVideoId"] in platform.videos
            assert asked.headers["content-type"] == "application/json"
        for asked in platform.calls("media"):
            assert KEY not in str(asked)
        assert KEY not in caplog.text
        assert TOKEN not in caplog.text
