"""Both SFTP servers offer what they are asked to, and the watcher sees what is visible."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers import sftp as servers
from tests.servers.sftp import SftpOptions, asyncssh_server, openssh_server, watching

if _lacking := servers.missing():
    pytest.skip(f"{_lacking} is not installed", allow_module_level=True)

import asyncssh

BOTH = [
    pytest.param(asyncssh_server, id="asyncssh"),
    pytest.param(
        openssh_server, id="openssh", marks=pytest.mark.skipif(not servers.SSHD.exists(), reason="no openssh-server")
    ),
]
both = pytest.mark.parametrize("serve", BOTH)


def run(server: servers.SftpServer, act: Callable[[Any, Any], Awaitable[Any]]) -> Any:
    async def go() -> Any:
        login = {"username": server.user, "client_keys": [str(server.key)], "known_hosts": None, "config": None}
        async with asyncssh.connect("127.0.0.1", server.port, **login) as connection:
            return await act(connection, await connection.start_sftp_client())

    return asyncio.run(asyncio.wait_for(go(), 30))


@both
@pytest.mark.parametrize("offered", [True, False])
def test_posix_rename_and_fsync_are_offered_or_not(serve: Any, offered: bool, tmp_path: Path) -> None:
    async def act(connection: Any, client: Any) -> list[bool]:
        return [client._handler._supports_posix_rename, client._handler._supports_fsync]

    with serve(tmp_path, SftpOptions(posix_rename=offered, fsync=offered)) as server:
        assert run(server, act) == [offered, offered]


@both
def test_a_plain_rename_refuses_a_taken_name(serve: Any, tmp_path: Path) -> None:
    with serve(tmp_path) as server:
        for name in ("old", "taken"):
            (server.root / name).write_text(name)

        async def act(connection: Any, client: Any) -> None:
            await client.rename(f"{server.root}/old", f"{server.root}/free")
            with pytest.raises(asyncssh.SFTPError):
                await client.rename(f"{server.root}/free", f"{server.root}/taken")

        run(server, act)
        assert {path.name: path.read_text() for path in server.root.iterdir()} == {"free": "old", "taken": "taken"}


@both
@pytest.mark.parametrize("shell", [True, False])
def test_a_command_runs_where_there_is_a_shell(serve: Any, shell: bool, tmp_path: Path) -> None:
    async def act(connection: Any, client: Any) -> str:
        try:
            # Without a shell, nothing comes for ever.
            return str((await asyncio.wait_for(connection.run("echo hello"), 25 if shell else 2)).stdout)
        except (TimeoutError, asyncssh.Error):
            return ""

    with serve(tmp_path, SftpOptions(shell=shell)) as server:
        assert ("hello" in run(server, act)) is shell


def test_a_packet_that_is_too_long_ends_the_connection(tmp_path: Path) -> None:
    with asyncssh_server(tmp_path, SftpOptions(max_packet=64 * 1024)) as server:

        async def act(connection: Any, client: Any) -> None:
            async with client.open(f"{server.root}/f", "wb", block_size=128 * 1024) as file:
                await file.write(b"x" * 128 * 1024)

        with pytest.raises((asyncssh.Error, asyncssh.SFTPError)):
            run(server, act)


def test_answers_are_late_and_times_differ_where_configured(tmp_path: Path) -> None:
    with asyncssh_server(tmp_path, SftpOptions(latency=0.1, clock_offset=-7200)) as server:
        (server.root / "f").write_text("x")

        async def act(connection: Any, client: Any) -> tuple[float, float]:
            start = time.monotonic()
            attributes = await client.stat(f"{server.root}/f")
            return time.monotonic() - start, attributes.mtime

        took, modified = run(server, act)
        assert took >= 0.1
        assert 7000 < time.time() - modified < 7400


@both
def test_airflow_reads_and_writes_through_its_connection(serve: Any, tmp_path: Path, monkeypatch: Any) -> None:
    pytest.importorskip("sshfs", reason="sshfs is not installed")
    pytest.importorskip("airflow.providers.sftp", reason="the SFTP provider is not installed")
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    conn_id = f"selftest_{tmp_path.name[-20:].replace('-', '_')}"
    with serve(tmp_path) as server:
        monkeypatch.setenv(*server.connection(conn_id))
        path = ObjectStoragePath(f"{server.url(conn_id)}/f")
        path.parent.mkdir(parents=True)
        path.fs.pipe_file(path.path, b"hello")
        assert (server.root / "copies" / "f").read_bytes() == b"hello"
        assert path.fs.cat_file(path.path) == b"hello"


def test_the_watcher_sees_a_file_that_grows_under_its_name(tmp_path: Path) -> None:
    with watching(tmp_path) as watcher, (tmp_path / "v.mp4").open("wb", buffering=0) as file:
        for _ in range(3):
            file.write(b"x" * 10)
            time.sleep(0.05)
    assert watcher.growing().keys() == {"v.mp4"}
    assert watcher.sizes("v.mp4")[-1] == 30


def test_the_watcher_sees_one_size_of_a_file_that_is_renamed_when_whole(tmp_path: Path) -> None:
    with watching(tmp_path) as watcher:
        (tmp_path / "temporary").write_bytes(b"x" * 10)
        time.sleep(0.05)
        os.rename(tmp_path / "temporary", tmp_path / "v.mp4")
    assert watcher.sizes("v.mp4") == [10]
    assert watcher.looks > 5
