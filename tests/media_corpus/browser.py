"""Recordings that Chromium's MediaRecorder makes, and Chromium as a player that goes to the end of each file."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SECONDS = 8
_TRIES = 4
_LEAST_SOUNDS = 60
_LEAST_SIZE = 10_000
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
    "--mute-audio",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
]
PAGES = Path(__file__).parent


def find_chromium() -> str | None:
    return next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )


class _Pages(ThreadingHTTPServer):
    """Serves the pages and the files under test, and takes what the pages send back."""

    daemon_threads = True

    def __init__(self, folder: Path, extra: dict[str, Path]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.extra = extra
        self.results: dict[str, Any] = {}
        self.done = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: _Pages
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].lstrip("/")
        file = self.server.extra.get(path) or self._find(path)
        if file is None or not file.is_file():
            return self._answer(404, b"")
        data = file.read_bytes()
        kind = {".html": "text/html", ".js": "text/javascript"}.get(file.suffix, "application/octet-stream")
        first = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        if first[0].isdigit():
            start, end = int(first[0]), min(int(first[2] or len(data) - 1), len(data) - 1)
            return self._answer(206, data[start : end + 1], kind, f"bytes {start}-{end}/{len(data)}")
        return self._answer(200, data, kind)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = self.path.lstrip("/")
        if path == "done":
            self.server.results = json.loads(body)
            self.server.done.set()
        elif "/" not in path:
            (self.server.folder / path).write_bytes(body)
        self._answer(200, b"")

    def _find(self, name: str) -> Path | None:
        return (
            None if "/" in name else next((p for p in (PAGES / name, self.server.folder / name) if p.is_file()), None)
        )

    def _answer(self, status: int, body: bytes, kind: str = "text/plain", content_range: str | None = None) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Accept-Ranges", "bytes")
            if content_range:
                self.send_header("Content-Range", content_range)
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        return


@contextmanager
def _chromium(url: str) -> Iterator[None]:
    profile = tempfile.mkdtemp(prefix="iinked-chromium-")
    command = [find_chromium() or "chromium", *FLAGS, f"--user-data-dir={profile}", url]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(profile, ignore_errors=True)


def _run_page(page: str, folder: Path, timeout: float, extra: dict[str, Path]) -> dict[str, Any]:
    server = _Pages(folder, extra)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with _chromium(f"http://127.0.0.1:{server.server_port}/{page}"):
            if not server.done.wait(timeout):
                raise TimeoutError(f"{page} has not finished within {timeout} s")
        return server.results
    finally:
        server.shutdown()
        server.server_close()


def record(
    folder: Path, *, repair: Path | None = None, seconds: float = SECONDS, timeout: float = 90
) -> dict[str, Any]:
    """
    Let MediaRecorder record a moving picture and a tone in every way that it offers.

    On a busy machine its sound may come late or not at all; such recordings are made again.

    :param folder: gets ``chromium-<name>`` and, where sliced, ``chromium-<name>.<number>``.
    :param repair: fix-webm-duration.js; None leaves its files out.
    :return: by name: MIME type, seconds, number of slices; or the reason why Chromium cannot.
    """
    extra = {"fix-webm-duration.js": repair} if repair else {}
    results: dict[str, Any] = {}
    names: list[str] = []
    for _ in range(_TRIES):
        page = f"record.html?seconds={seconds}&names={','.join(names)}"
        results |= _run_page(page, folder, timeout, extra)
        names = [name for name, result in results.items() if "error" not in result and _is_starved(folder, name)]
        if not names:
            break
    return results


def _is_starved(folder: Path, name: str) -> bool:
    """Too few sounds, or too few bytes of a picture without any."""
    import av

    path = folder / f"chromium-{name}"
    try:
        with av.open(str(path)) as container:
            sounds = [0 for packet in container.demux(audio=0) if packet.size] if container.streams.audio else None
    except av.FFmpegError:
        return True
    return path.stat().st_size < _LEAST_SIZE if sounds is None else len(sounds) < _LEAST_SOUNDS


def play(files: list[Path], folder: Path, timeout: float = 120) -> dict[str, Any]:
    """
    Play files to their end.

    :return: by file name: ``ended``, ``time`` reached, and ``error``.
    """
    (folder / "play.json").write_text(json.dumps([file.name for file in files]))
    return _run_page("play.html", folder, timeout, {file.name: file for file in files})
