#!/usr/bin/env bash
# One would expect: a GET for a URL that is valid as it stands sends its path and query byte for byte. Or at least that
#   requests and the urllib3 below it send the same.
# What happens: requests and aiohttp decode escaped characters that need no escape (%7E, %2D) and remove dot segments;
#   urllib3 removes dot segments, keeps %7E, and writes %2b as %2B; aiohttp also decodes %2C and %2F in a query; httpx
#   removes dot segments only. urllib.request and aiohttp with yarl.URL(text, encoded=True) send what they were given.
# Versions: requests 2.34.2, urllib3 2.8.0, aiohttp 3.14.5, yarl 1.25.1, httpx 0.28.1.
# Why it matters: a host that signs the text of its URLs answers 403 to some recordings and not to others, by the
#   characters in their names, and a worker and a triggerer with two clients disagree.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    'requests==2.34.2' 'urllib3==2.8.0' 'aiohttp==3.14.5' 'yarl==1.25.1' 'httpx==0.28.1'

env -u http_proxy -u HTTP_PROXY -u all_proxy -u ALL_PROXY venv/bin/python - <<'PYTHON'
import asyncio
import http.server
import sys
import threading
import urllib.request

import aiohttp
import httpx
import requests
import urllib3
import yarl

TARGET = "/d/./a%7Eb%2Dc.mp4?name=x%2Cy%2Fz&sig=%2b%3d"
EXPECTED = {
    "urllib.request": TARGET,
    "httpx": "/d/a%7Eb%2Dc.mp4?name=x%2Cy%2Fz&sig=%2b%3d",
    "aiohttp, yarl.URL(encoded=True)": TARGET,
    "urllib3": "/d/a%7Eb%2Dc.mp4?name=x%2Cy%2Fz&sig=%2B%3D",
    "requests": "/d/a~b-c.mp4?name=x%2Cy%2Fz&sig=%2B%3D",
    "aiohttp": "/d/a~b-c.mp4?name=x,y/z&sig=%2B%3D",
}
targets = []


class Host(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        targets.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


async def aiohttp_get(url):
    async with aiohttp.ClientSession() as session, session.get(url):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Host)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}{TARGET}"
urllib.request.urlopen(url).close()
httpx.get(url)
asyncio.run(aiohttp_get(yarl.URL(url, encoded=True)))
urllib3.PoolManager().request("GET", url)
requests.get(url)
asyncio.run(aiohttp_get(url))

print(f"{'given':32} {TARGET}")
for client, target in zip(EXPECTED, targets, strict=True):
    print(f"{client:32} {target}")
    if target != EXPECTED[client]:
        sys.exit(f"changed: {EXPECTED[client]} was seen before")
PYTHON
