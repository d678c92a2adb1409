"""Processes that serve tests, on loopback and on ports that were free; and what the simulator sent."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from airflow_provider_iinked.simulator.ledger import RequestRecord


def free_port() -> int:
    """Find one below those of outgoing connections, so that none of them takes it before its server listens."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("No port between 20000 and 32000 is free.")


def bytes_sent(request: RequestRecord) -> int:
    """What the simulator sent of a recording: a client may have it all a moment before the simulator notes it."""
    until = time.monotonic() + 60
    while request.sent is None and time.monotonic() < until:
        time.sleep(0.01)
    assert request.sent is not None, "still sending"
    return request.sent


@contextmanager
def serving(command: Sequence[str], port: int, log: Path, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; it has a minute to listen."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env={**os.environ, **env}
        )
    try:
        until = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < until, f"{command[0]} does not listen"
            time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.wait()
