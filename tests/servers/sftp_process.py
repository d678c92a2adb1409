"""The process behind `asyncssh_server`: an SFTP server whose habits come as JSON in its only argument."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import sys
from typing import Any

import asyncssh
from asyncssh import sftp as implementation


def set_up(settings: dict[str, Any]) -> None:
    """Take away what this server shall not offer; nothing else runs in this process."""
    handler = implementation.SFTPServerHandler
    offered = {
        b"posix-rename@openssh.com": "posix_rename",
        b"fsync@openssh.com": "fsync",
        b"limits@openssh.com": "limits",
    }
    refused = {name for name, option in offered.items() if not settings[option]}
    handler._extensions = [pair for pair in handler._extensions if pair[0] not in refused]
    for name in refused:
        handler._packet_handlers.pop(name)
    implementation.MAX_SFTP_PACKET_LEN = settings["max_packet"]
    # What it tells a client that asks has to fit into a packet, with a header of its own.
    implementation.MAX_SFTP_READ_LEN = implementation.MAX_SFTP_WRITE_LEN = settings["max_packet"] - 1024
    if settings["latency"]:
        answer = handler.send_packet

        def send_later(self: Any, *arguments: Any) -> None:
            asyncio.get_running_loop().call_later(settings["latency"], lambda: answer(self, *arguments))

        handler.send_packet = send_later


class Server(asyncssh.SFTPServer):  # type: ignore[misc,unused-ignore]
    """asyncssh's server, with OpenSSH's way to rename and a clock of its own."""

    settings: dict[str, Any]

    def rename(self, oldpath: bytes, newpath: bytes) -> Any:
        """Give a file another name, if that is free: by a link, which no other client can come between."""
        old, new = os.fsdecode(self.map_path(oldpath)), os.fsdecode(self.map_path(newpath))
        if not self.settings["atomic_rename"] or not os.path.isfile(old):
            return super().rename(oldpath, newpath)
        try:
            os.link(old, new)
        except FileExistsError:
            raise asyncssh.SFTPFailure("Failure") from None
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise asyncssh.SFTPNoSuchFile("No such file") from None
            raise
        os.unlink(old)
        return None

    def stat(self, path: bytes) -> Any:
        """Attributes, with this server's clock."""
        return self._shifted(super().stat(path))

    def lstat(self, path: bytes) -> Any:
        """Attributes, with this server's clock."""
        return self._shifted(super().lstat(path))

    def fstat(self, file_obj: object) -> Any:
        """Attributes, with this server's clock."""
        return self._shifted(super().fstat(file_obj))

    async def scandir(self, path: bytes) -> Any:
        """Names and attributes, with this server's clock."""
        async for name in super().scandir(path):
            name.attrs = self._shifted(name.attrs)
            yield name

    def _shifted(self, attrs: Any) -> Any:
        offset = self.settings["clock_offset"]
        if not offset:
            return attrs
        if isinstance(attrs, os.stat_result):
            attrs = asyncssh.SFTPAttrs.from_local(attrs)
        if attrs.mtime is not None:
            attrs.mtime = int(attrs.mtime + offset)
        return attrs


async def run_command(process: Any) -> None:
    """Run a client's command in a shell."""
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_shell(process.command or "true", stdout=pipe, stderr=pipe)
    output, errors = await child.communicate()
    process.stdout.write(output)
    process.stderr.write(errors)
    process.exit(child.returncode or 0)


async def serve(settings: dict[str, Any]) -> None:
    """Listen until the process ends."""
    Server.settings = settings
    folder = settings["folder"]
    shell = {"process_factory": run_command, "encoding": None} if settings["shell"] else {}
    server = await asyncssh.listen(
        "127.0.0.1",
        settings["port"],
        server_host_keys=[f"{folder}/host_key"],
        authorized_client_keys=f"{folder}/authorized_keys",
        sftp_factory=Server,
        allow_scp=False,
        **shell,
    )
    await server.wait_closed()


if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    set_up(options)
    asyncio.run(serve(options))
