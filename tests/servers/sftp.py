"""SFTP on loopback: asyncssh with the habits that a test asks for, Debian's sshd, and a watcher of what is visible.

with asyncssh_server(folder, SftpOptions(posix_rename=False)) as server:
    monkeypatch.setenv(*server.connection("stores_sftp"))
    with watching(server.root) as watcher:
        ...                                    # upload to server.url("stores_sftp")
    assert watcher.sizes("v1.mp4") == [len(recording)]
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.servers.processes import free_port, serving

SSHD = Path("/usr/sbin/sshd")
ROOT = Path(__file__).parents[2]


def missing(*, sshd: bool = False) -> str:
    """What these servers need and this machine lacks; empty when nothing is."""
    lacking = [] if find_spec("asyncssh") else ["asyncssh"]
    return ", ".join([*lacking, *(["openssh-server"] if sshd and not SSHD.exists() else [])])


@dataclass(frozen=True)
class SftpOptions:
    """What an SFTP server offers, and its habits.

    :param posix_rename: offers `posix-rename@openssh.com`, which replaces what is there; off: refuses it.
    :param fsync: offers `fsync@openssh.com`; off: refuses it.
    :param limits: offers `limits@openssh.com`, by which a client learns the packet size (asyncssh alone).
    :param shell: a client may run commands.
    :param max_packet: bytes; a longer packet ends the connection (asyncssh alone, OpenSSH's own is 256 KiB).
    :param latency: seconds before each answer (asyncssh alone).
    :param clock_offset: seconds by which the server's times differ (asyncssh alone).
    :param atomic_rename: a plain rename is one act, as OpenSSH's; off: it looks, then renames (asyncssh alone).
    """

    posix_rename: bool = True
    fsync: bool = True
    limits: bool = True
    shell: bool = False
    max_packet: int = 256 * 1024
    latency: float = 0
    clock_offset: float = 0
    atomic_rename: bool = True


@dataclass(frozen=True)
class SftpServer:
    """A running server; `root` is where a test may write, seen from here and through SFTP alike."""

    port: int
    root: Path
    key: Path
    user: str

    def connection(self, conn_id: str, **extra: object) -> tuple[str, str]:
        """Name and value of the environment variable that is an Airflow connection to this server."""
        fields = {
            "conn_type": "sftp",
            "host": "127.0.0.1",
            "port": self.port,
            "login": self.user,
            "extra": {"key_file": str(self.key), "no_host_key_check": "true", **extra},
        }
        return f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields)

    def url(self, conn_id: str, path: str = "copies") -> str:
        """The URL of a folder below `root`."""
        return f"sftp://{conn_id}@127.0.0.1{self.root}/{path}"


@contextmanager
def asyncssh_server(folder: Path, options: SftpOptions | None = None) -> Iterator[SftpServer]:
    """Run asyncssh's SFTP server, in a process of its own, until the block ends."""
    server = _prepare(folder)
    settings = {**asdict(options or SftpOptions()), "port": server.port, "folder": str(folder)}
    command = [sys.executable, "-m", "tests.servers.sftp_process", json.dumps(settings)]
    with serving(command, server.port, folder / "asyncssh.log", PYTHONPATH=str(ROOT)):
        yield server


@contextmanager
def openssh_server(folder: Path, options: SftpOptions | None = None) -> Iterator[SftpServer]:
    """Run Debian's sshd, with a configuration, host key and user key of its own, until the block ends.

    Without a shell each command, and so each session, is SFTP: `ForceCommand internal-sftp`.
    """
    wanted = options or SftpOptions()
    server = _prepare(folder)
    denied = [name for name, offered in (("posix-rename", wanted.posix_rename), ("fsync", wanted.fsync)) if not offered]
    sftp = "internal-sftp" + (f" -P {','.join(denied)}" if denied else "")
    lines = [
        f"Port {server.port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {folder}/host_key",
        f"AuthorizedKeysFile {folder}/authorized_keys",
        "PidFile none",
        "StrictModes no",
        "UsePAM no",
        "PasswordAuthentication no",
        "PermitRootLogin yes",
        "MaxStartups 100:30:200",
        f"Subsystem sftp {sftp}",
        *([] if wanted.shell else [f"ForceCommand {sftp}", "AllowTcpForwarding no", "PermitTTY no"]),
    ]
    (folder / "sshd_config").write_text("\n".join(lines) + "\n")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd gives up its rights before a login
    command = [str(SSHD), "-D", "-e", "-f", str(folder / "sshd_config")]
    with serving(command, server.port, folder / "sshd.log") as process:
        try:
            yield server
        finally:
            _kill_children(process.pid)  # sessions would outlive the sshd that began them


def _prepare(folder: Path) -> SftpServer:
    import asyncssh

    for name in ("host_key", "user_key"):
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(str(folder / name))
        (folder / name).chmod(0o600)
        key.write_public_key(str(folder / f"{name}.pub"))
    shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
    root = folder / "root"
    root.mkdir()
    return SftpServer(free_port(), root, folder / "user_key", getpass.getuser())


def _kill_children(parent: int) -> None:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(stat.parent.name)
        if int(fields[1]) == parent:
            _kill_children(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Watcher:
    """What was visible below a folder at each look: for each name the sizes, in the order in which they were seen."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.looks = 0
        self.seen: dict[str, list[int]] = {}

    def sizes(self, name: str) -> list[int]:
        """The sizes under one name (a path below the folder, or its last part), each once, in order of sight."""
        found = [sizes for path, sizes in self.seen.items() if path == name or path.endswith(f"/{name}")]
        assert len(found) <= 1, f"{name} was seen in {len(found)} folders"
        return found[0] if found else []

    def growing(self) -> dict[str, list[int]]:
        """The names that were seen with more than one size."""
        return {name: sizes for name, sizes in self.seen.items() if len(sizes) > 1}

    def look(self) -> None:
        """Note what is visible now."""
        self.looks += 1
        folders = [str(self.root)]
        while folders:
            try:
                entries = list(os.scandir(folders.pop()))
            except FileNotFoundError:
                continue
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                    continue
                try:
                    size = os.lstat(entry.path).st_size
                except FileNotFoundError:
                    continue
                sizes = self.seen.setdefault(os.path.relpath(entry.path, self.root), [])
                if size not in sizes:
                    sizes.append(size)


@contextmanager
def watching(root: Path, *, pause: float = 0.0005) -> Iterator[Watcher]:
    """Look at a folder all the time, in a thread, until the block ends; and once more then.

    :param pause: seconds between two looks.
    """
    watcher, stopped = Watcher(root), threading.Event()

    def run() -> None:
        while not stopped.is_set():
            watcher.look()
            time.sleep(pause)

    thread = threading.Thread(target=run, name="watcher", daemon=True)
    thread.start()
    try:
        yield watcher
    finally:
        stopped.set()
        thread.join(10)
        watcher.look()
