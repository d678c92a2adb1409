#!/usr/bin/env bash
# One would expect: to end a connection attempt from another thread (a task is told to stop), shut down the connection's
#   socket, or close the connection: conn.sock is there as soon as TCP is connected.
# What happens: during the TLS handshake conn.sock is a socket whose descriptor ssl has taken over (fileno() is -1):
#   shutdown() raises "Bad file descriptor", close() does nothing, and the handshake lasts until its timeout. The TLS
#   socket, which would do, is nowhere to be had until the handshake is over. A duplicate of the descriptor, made
#   before, ends it at once.
# Versions: urllib3 2.8.0 (requests and boto3 build on it), Python's ssl.
# Why it matters: a host that accepts and then says nothing holds a worker thread for the whole timeout, 60 s with boto3's
#   default, whatever the task's on_kill() closes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'urllib3==2.8.0'

venv/bin/python - <<'PYTHON'
import socket
import sys
import threading
import time

import urllib3
from urllib3.connection import HTTPSConnection

TIMEOUT = 4.0


class Duplicating(HTTPSConnection):
    def _new_conn(self):
        sock = super()._new_conn()
        self.duplicate = sock.dup()
        return sock


def attempt(kind, act):
    """Connect to a host that takes the first message and never answers; act in the middle; give the seconds."""
    listener, in_handshake = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def serve():
        with listener, listener.accept()[0] as client:
            client.recv(65536)
            in_handshake.set()
            while client.recv(65536):
                pass

    threading.Thread(target=serve, daemon=True).start()
    connection = kind("127.0.0.1", listener.getsockname()[1], timeout=TIMEOUT)
    took = []

    def connect():
        started = time.monotonic()
        try:
            connection.connect()
        except (OSError, urllib3.exceptions.HTTPError):
            took.append(time.monotonic() - started)

    thread = threading.Thread(target=connect)
    thread.start()
    in_handshake.wait()
    time.sleep(0.3)
    descriptor = connection.sock.fileno()
    try:
        act(connection)
        words = "no error"
    except OSError as error:
        words = error.strerror
    thread.join()
    return descriptor, words, took[0]


def shut_down(connection):
    connection.sock.shutdown(socket.SHUT_RDWR)


def close(connection):
    connection.close()


def shut_down_duplicate(connection):
    connection.duplicate.shutdown(socket.SHUT_RDWR)


CASES = (
    (HTTPSConnection, shut_down, "Bad file descriptor", False),
    (HTTPSConnection, close, "no error", False),
    (Duplicating, shut_down_duplicate, "no error", True),
)
for kind, act, expected_words, soon in CASES:
    descriptor, words, seconds = attempt(kind, act)
    print(f"{act.__name__}: fileno {descriptor}, {words}, the handshake ends after {seconds:.1f} of {TIMEOUT:.0f} s")
    if (descriptor, words, seconds < TIMEOUT - 1) != (-1, expected_words, soon):
        sys.exit(f"changed: fileno -1, {expected_words}, ended soon: {soon} were seen before")
PYTHON
