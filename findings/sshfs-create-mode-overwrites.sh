#!/usr/bin/env bash
# One would expect: pipe_file(path, data, mode="create") raises FileExistsError when the file exists; fsspec defines
#   mode that way, and open(path, "xb") of the same file system refuses.
# What happens: sshfs's pipe_file takes mode="create", passes it on as a keyword that nothing reads, and overwrites.
#   open(path, "xb") refuses, with asyncssh's SFTPFailure, which is neither FileExistsError nor an OSError.
# Versions: sshfs 2026.8.0, asyncssh 2.24.1, fsspec 2026.9.0.
# Why it matters: "create the record only if nobody else has" is the lock between two tasks, and here it is none.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'sshfs==2026.8.0' 'asyncssh==2.24.1' 'fsspec==2026.9.0'
mkdir served

venv/bin/python - <<'PYTHON'
import asyncio
import sys
import threading

import asyncssh
import sshfs


class NoPassword(asyncssh.SSHServer):
    def begin_auth(self, username):
        return False


async def listen():
    return await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        server_factory=NoPassword,
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot="served"),
    )


def check(what, seen, expected):
    print(f"{what}: {seen}")
    if seen != expected:
        sys.exit(f"changed: {expected} was seen before")


loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
port = asyncio.run_coroutine_threadsafe(listen(), loop).result().get_port()
fs = sshfs.SSHFileSystem("127.0.0.1", port=port, username="user", known_hosts=None)

fs.pipe_file("/record.json", b"first")
fs.pipe_file("/record.json", b"second", mode="create")
check('content after pipe_file(mode="create") over a file', fs.cat_file("/record.json"), b"second")
try:
    fs.open("/record.json", "xb").close()
    refused = "accepted"
except Exception as error:
    refused = (type(error).__name__, isinstance(error, OSError))
check('open("xb") over a file raises (name, is an OSError)', refused, ("SFTPFailure", False))
check("content after it", fs.cat_file("/record.json"), b"second")
PYTHON
