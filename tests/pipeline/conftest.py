from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


class Meanwhile:
    """Lets something happen right after, or right before, the provider has asked for a deletion."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def _wrap(self, before: Callable[[], Any] | None, after: Callable[[], Any] | None) -> None:
        from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook

        really = IinkedSignHook.delete_video
        happened: list[bool] = []

        def delete_video(hook: Any, *ids: Any, **options: Any) -> Any:
            first = not happened
            happened.append(True)
            if before and first:
                before()
            try:
                return really(hook, *ids, **options)
            finally:
                if after and first:
                    after()

        self._monkeypatch.setattr(IinkedSignHook, "delete_video", delete_video)

    def before_first_deletion(self, act: Callable[[], Any]) -> None:
        self._wrap(act, None)

    def after_first_deletion(self, act: Callable[[], Any]) -> None:
        self._wrap(None, act)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    return Meanwhile(monkeypatch)


class Clock:
    """A module's ``time``, moved on at will."""

    sleep = staticmethod(time.sleep)
    time = staticmethod(time.time)

    def __init__(self) -> None:
        self.offset = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.offset


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time that a deletion sees."""
    from airflow_provider_iinked.deletion import package, preparation, turn, verification, workflow

    clock = Clock()
    for module in (package, preparation, turn, verification, workflow):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def paper() -> Callable[..., dict[str, Any]]:
    """Read a custody record or a receipt; with changes, write it back."""

    def read(path: Path, **changes: Any) -> dict[str, Any]:
        found = json.loads(path.read_text())
        if changes:
            path.write_text(json.dumps({**found, **changes}))
        return found

    return read


@pytest.fixture(scope="session")
def etag_file_system() -> Any:
    """A store that gives each object an ETag, as object stores do: the local disk under the scheme ``etag``."""
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    from airflow_provider_iinked.storage import register_store
    from airflow_provider_iinked.storage.fsspec_store import FsspecStore

    class EtagFileSystem(LocalFileSystem):
        protocol = "etag"
        cachable = False

        def __init__(self, **options: Any) -> None:
            super().__init__(**{**options, "auto_mkdir": True})

        @classmethod
        def _strip_protocol(cls, path: Any) -> str:
            return "/" + str(path).removeprefix("etag://").strip("/")

        def info(self, path: Any, **options: Any) -> dict[str, Any]:
            found = super().info(path, **options)
            if found["type"] == "file":
                found["ETag"] = f'"{hashlib.md5(Path(found["name"]).read_bytes()).hexdigest()}"'
                del found["mtime"]
            return found

    fsspec.register_implementation("etag", EtagFileSystem, clobber=True)

    class EtagStore(FsspecStore):
        """A store whose rename refuses a taken name, in one step; the generic one copies and then removes."""

        def rename_no_replace(self, source: str, target: str) -> None:
            os.link(self.path(source), self.path(target))
            os.unlink(self.path(source))

    register_store("etag", EtagStore)
    return EtagFileSystem


@pytest.fixture
def etag_chain(chain: Any, etag_file_system: Any) -> Iterator[Any]:
    """The same chain, its copies in the store with ETags."""
    try:
        from airflow.sdk.io import attach
        from airflow.sdk.io.store import _STORE_CACHE as stores
    except ImportError:
        from airflow.io.store import _STORE_CACHE as stores
        from airflow.io.store import attach
    attach(protocol="etag", fs=etag_file_system())

    class Chain(type(chain)):
        @property
        def destination(self) -> str:
            return f"etag:/{self.folder}"

    yield Chain(chain.sim, chain.folder)
    stores.pop("etag", None)


@pytest.fixture(params=["file", "etag"])
def any_chain(request: pytest.FixtureRequest) -> Any:
    """The chain on a store without validators, and on one with them."""
    return request.getfixturevalue("chain" if request.param == "file" else "etag_chain")


@pytest.fixture(params=["by id", "copies"])
def three(chain, request):
    """Three recordings to delete and one to leave alone, by their ids or by their copies."""
    package, videos = chain.package("a", "b", "c", "neighbour", package_id="p")
    asked = videos[:3]
    if request.param == "copies":
        arguments = {"verified_copies": chain.download(package, meeting_video_ids=asked)}
    else:
        arguments = {"package_id": package, "meeting_video_ids": asked}
    chain.ledger.clear()
    return chain, arguments
