"""
Writing to object stores over a slow wire: the provider's stores beside the SDKs' own uploads.

``python -m benchmarks.storing [--store s3|azure|gcs] [--round-trips 0 20 80] [--repeat 3]`` needs what the tests of
object stores need. Ours writes custody records as well; what it is compared with writes the bytes alone.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.servers.delay import SlowWire, slow_wire

MIB = 1 << 20
SMALL = 500_000
THREADS = 4
Act = Callable[[str, bytes], None]


def write_ours(url: str) -> Act:
    """One object and a record beside it, as the download publishes them."""
    from airflow_provider_iinked.storage import open_store

    store = open_store(url, "benchmark")

    def write(name: str, data: bytes) -> None:
        upload = store.upload(f"{url}/{name}.mp4", len(data))
        view = memoryview(data)
        for at in range(0, len(data), MIB):
            upload.write(bytes(view[at : at + MIB]))
        info = upload.publish()
        upload.discard()
        if info is None or info.size != len(data):
            raise SystemExit(f"{name} is not there")
        if not store.create_json(f"{url}/{name}.custody.json", {"size": info.size, "validator": dict(info.validator)}):
            raise SystemExit(f"the record of {name} was there already")

    return write


def verify_ours(url: str) -> Act:
    """Read a record and its copy from end to end, as the guarded deletion does before each request."""
    from airflow_provider_iinked.storage import open_store

    store = open_store(url, "benchmark")

    def verify(name: str, data: bytes) -> None:
        known, _ = store.read_json(f"{url}/{name}.custody.json")
        if not known or store.sha256(f"{url}/{name}.mp4") is None:
            raise SystemExit(f"{name} is not there")

    return verify


@contextmanager
def s3(folder: Path, wire: ExitStack) -> Iterator[Callable[[float], tuple[SlowWire, str, Act]]]:
    """Moto's server, and boto3's ``upload_fileobj``."""
    import boto3

    from tests.stores import store_servers

    with store_servers.s3_server(folder) as endpoint:
        port = urlsplit(endpoint).port or 0
        numbers = iter(range(1000))

        def at(delay: float) -> tuple[SlowWire, str, Act]:
            slow = wire.enter_context(slow_wire(port, delay=delay))
            bucket = store_servers.S3Bucket(endpoint, f"bench-{next(numbers)}")
            bucket.endpoint = slow.url()
            os.environ.update([bucket.connection()])
            login = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "example"}
            client = boto3.client("s3", endpoint_url=slow.url(), region_name="us-east-1", **login)
            return (
                slow,
                bucket.url,
                lambda name, data: client.upload_fileobj(io.BytesIO(data), bucket.name, f"theirs/{name}"),
            )

        yield at


@contextmanager
def azure(folder: Path, wire: ExitStack) -> Iterator[Callable[[float], tuple[SlowWire, str, Act]]]:
    """Azurite, and the SDK's ``upload_blob`` with as many connections as boto3's."""
    from azure.storage.blob import BlobServiceClient

    from tests.stores import store_servers

    with store_servers.azure_server(folder) as endpoint:
        parts = urlsplit(endpoint)
        numbers = iter(range(1000))

        def at(delay: float) -> tuple[SlowWire, str, Act]:
            slow = wire.enter_context(slow_wire(parts.port or 0, delay=delay))
            container = store_servers.AzureContainer(endpoint, f"bench-{next(numbers)}")
            container.connection_string = container.connection_string.replace(endpoint, slow.url() + parts.path)
            os.environ.update([container.connection()])
            client = BlobServiceClient.from_connection_string(container.connection_string).get_container_client(
                container.name
            )
            return (
                slow,
                container.url,
                lambda name, data: client.upload_blob(f"theirs/{name}", data, max_concurrency=10) and None,
            )

        yield at


@contextmanager
def gcs(folder: Path, wire: ExitStack) -> Iterator[Callable[[float], tuple[SlowWire, str, Act]]]:
    """fake-gcs-server, and gcsfs' own ``pipe_file``; the server names its wire's address, so that one delays."""
    from tests.servers import gcs as servers

    with servers.gcs(folder) as server:
        numbers = iter(range(1000))

        def at(delay: float) -> tuple[SlowWire, str, Act]:
            from airflow.providers.common.compat.sdk import ObjectStoragePath

            server.wire.delay = delay
            bucket = server.bucket(f"bench-{next(numbers)}")
            os.environ.update([bucket.connection()])
            fs = ObjectStoragePath(bucket.url).fs
            return (
                SlowWire(delay=delay),
                bucket.url,
                lambda name, data: fs.pipe_file(f"{bucket.name}/theirs/{name}", data),
            )

        yield at


def seconds(act: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def many(act: Act, prefix: str, data: bytes) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda number: act(f"{prefix}-{number}", data), range(40)))


class Peak(threading.Thread):
    """The highest resident memory of this process while it runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most, self._done = 0, threading.Event()

    def run(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while not self._done.wait(0.02):
            self.most = max(self.most, int(Path("/proc/self/statm").read_text().split()[1]) * page)

    def stop(self) -> float:
        self._done.set()
        return self.most / MIB


def measure(at: Any, round_trip: float, repeat: int) -> list[dict[str, Any]]:
    slow, url, theirs = at(0.0)
    ours, verify = write_ours(url), verify_ours(url)
    large, small = os.urandom(128 * MIB), os.urandom(SMALL)
    for act in (ours, theirs):  # the first call of each makes connections and imports
        act("warm", small)
    slow.delay = round_trip / 2000
    rows = []
    for what, run in (
        ("128 MiB, one object", lambda act, name: act(name, large)),
        ("40 x 500 KB, 4 threads", lambda act, name: many(act, name, small)),
    ):
        took: dict[str, list[float]] = {"ours": [], "theirs": []}
        for number in range(repeat):
            for whose, act in (("ours", ours), ("theirs", theirs)):
                name = f"{len(what)}-{number}"
                took[whose].append(seconds(partial(run, act, name)))
        ours_s, theirs_s = statistics.median(took["ours"]), statistics.median(took["theirs"])
        rows.append({"what": what, "ours_s": ours_s, "theirs_s": theirs_s, "ratio": theirs_s / ours_s})
    name = f"{len('40 x 500 KB, 4 threads')}-0"
    rows.append({"what": "40 x 500 KB verified, 8 at a time", "ours_s": seconds(lambda: verified(verify, name))})
    peak = Peak()
    peak.start()
    before = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB
    ours("memory", large)
    rows.append({"what": "128 MiB, memory on top, MiB", "ours_s": peak.stop() - before})
    return rows


def verified(verify: Act, prefix: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: verify(f"{prefix}-{number}", b""), range(40)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=("s3", "azure", "gcs"), default="s3")
    parser.add_argument("--round-trips", type=float, nargs="+", default=[0.0, 20.0, 80.0], metavar="MS")
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    serve = {"s3": s3, "azure": azure, "gcs": gcs}[given.store]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as wires, serve(Path(folder), wires) as at:
        for round_trip in given.round_trips:
            for row in measure(at, round_trip, given.repeat):
                shown = {name: round(value, 2) if isinstance(value, float) else value for name, value in row.items()}
                print(json.dumps({"store": given.store, "round_trip_ms": round_trip, **shown}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
