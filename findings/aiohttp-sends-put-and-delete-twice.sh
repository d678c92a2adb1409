#!/usr/bin/env bash
# One would expect: one `await session.delete(url)` is one request on the wire, as with requests, urllib3 and httpx, which
#   leave retries to the caller. At most a GET might be repeated.
# What happens: when the server closes a connection that was kept alive instead of answering, aiohttp sends the request
#   once more on a new connection, without a word: GET, PUT and DELETE alike, bodies included. POST raises.
# Versions: aiohttp 3.14.5, requests 2.34.2.
# Why it matters: a DELETE that was carried out, and whose answer was lost, goes out again; the "404 Not Found" that comes
#   back is about the second one. A count of attempts, or a limit of requests a second, is off as well.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'aiohttp==3.14.5' 'requests==2.34.2'

venv/bin/python - <<'PYTHON'
import asyncio
import socket
import sys
import threading

import aiohttp
import requests

EXPECTED = {"GET": (2, "200"), "PUT": (2, "200"), "DELETE": (2, "200"), "POST": (1, "ServerDisconnectedError")}
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers the first request of each connection, and closes the connection at its second one."""

    def __init__(self):
        self.asked = []
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        threading.Thread(target=self.accept, args=(listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            threading.Thread(target=self.serve, args=(listener.accept()[0],), daemon=True).start()

    def serve(self, connection):
        with connection:
            for number in (1, 2):
                head = b""
                while b"\r\n\r\n" not in head:
                    piece = connection.recv(65536)
                    if not piece:
                        return
                    head += piece
                self.asked.append(head.split(b" ")[0].decode())
                if number == 1:
                    connection.sendall(ANSWER)


async def by_aiohttp(method, server):
    async with aiohttp.ClientSession() as session:
        for _ in range(2):
            try:
                async with session.request(method, server.url) as answer:
                    await answer.read()
                    outcome = str(answer.status)
            except aiohttp.ClientError as error:
                outcome = type(error).__name__
    return outcome


def by_requests(method, server):
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(2):
            try:
                outcome = str(session.request(method, server.url).status_code)
            except requests.ConnectionError as error:
                outcome = type(error).__name__
    return outcome


for method, expected in EXPECTED.items():
    one, other = Server(), Server()
    outcome = asyncio.run(by_aiohttp(method, one))
    elsewhere = by_requests(method, other)
    seen = (len(one.asked) - 1, outcome)
    print(f"{method}: aiohttp sends it {seen[0]} times: {outcome}; requests {len(other.asked) - 1} time: {elsewhere}")
    if seen != expected or (len(other.asked) - 1, elsewhere) != (1, "ConnectionError"):
        sys.exit(f"changed: aiohttp {expected}, requests (1, 'ConnectionError') were seen before")
PYTHON
