"""
Copies to object stores over a slow wire, and guarded deletions behind them: ours, an earlier commit, and the SDK.

``python -m benchmarks.storing [--store s3|azure|gcs] [--round-trips 0 20 80] [--repeat 3]`` needs what the tests of
object stores need. Each measurement is a process of its own, as a task is; servers, platform and wire are others. Ours
and the earlier commit fetch each recording from the platform, hash it, copy it and write its custody record; the SDK
writes the bytes alone. "store" leaves the platform out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.earlier import COMMIT, HERE, earlier_commit
from benchmarks.simulator_process import Remote, simulator
from tests.servers.delay import slow_wire

MIB = 1 << 20
LARGE = 128 * MIB
SMALL = 500_000
COUNT = 40
TIMEOUT = 180
Rows = list[dict[str, Any]]


@dataclass
class Bench:
    """A store behind a wire: what a child process gets to know of it, and how its wire is slowed down."""

    store: str
    given: dict[str, Any]
    environment: dict[str, str]
    set_delay: Callable[[float], None]
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(10_000)))


@contextmanager
def s3(folder: Path) -> Iterator[Bench]:
    """Moto's server."""
    from tests.stores import store_servers

    with store_servers.s3_server(folder) as endpoint, slow_wire(urlsplit(endpoint).port or 0, delay=0.0) as wire:
        bucket = store_servers.S3Bucket(endpoint, "evidence")
        name, connection = bucket.connection()
        given = {"endpoint": wire.url(), "bucket": bucket.name, "url": bucket.url}
        environment = {name: connection.replace(endpoint, wire.url())}
        yield Bench("s3", given, environment, lambda delay: setattr(wire, "delay", delay))


@contextmanager
def azure(folder: Path) -> Iterator[Bench]:
    """Azurite."""
    from tests.stores import store_servers

    with store_servers.azure_server(folder) as endpoint:
        parts = urlsplit(endpoint)
        with slow_wire(parts.port or 0, delay=0.0) as wire:
            container = store_servers.AzureContainer(endpoint, "evidence")
            text = container.connection_string.replace(endpoint, wire.url() + parts.path)
            container.connection_string = text
            given = {"connection_string": text, "bucket": container.name, "url": container.url}
            environment = dict([container.connection()])
            yield Bench("azure", given, environment, lambda delay: setattr(wire, "delay", delay))


@contextmanager
def gcs(folder: Path) -> Iterator[Bench]:
    """fake-gcs-server, whose own wire delays."""
    from tests.servers import gcs as servers

    with servers.gcs(folder) as server:
        bucket = server.bucket("evidence")
        given = {"bucket": bucket.name, "url": bucket.url}
        environment = dict([bucket.connection(), servers.NO_STORAGE_LAYOUT])
        yield Bench("gcs", given, environment, lambda delay: setattr(server.wire, "delay", delay))


STORES = {"s3": s3, "azure": azure, "gcs": gcs}


def run_child(bench: Bench, tree: Path | None, **more: Any) -> dict[str, float]:
    """Run one measurement in a process of its own; empty where it fails, as an earlier commit may."""
    given = {"store": bench.store, "name": f"n{next(bench.numbers)}", **bench.given, **more}
    environment = {**os.environ, **bench.environment, **given.pop("environment", {})}
    environment |= {"PYTHONPATH": str(tree or HERE), "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-P", str(Path(__file__).with_name("store_child.py")), json.dumps(given)]
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired:
            return {}
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines and tree is None:
        raise RuntimeError(done.stderr[-3000:])
    return dict(json.loads(lines[-1].removeprefix("RESULT "))) if lines else {}


def run_tasks(bench: Bench, sim: Remote, tree: Path | None, *, many: bool, one: bool, delete: bool) -> dict[str, float]:
    """Copy packages that are there for this measurement alone, and delete the recordings of one."""
    counts = {"warm": [SMALL], "many": [SMALL] * COUNT if many else [], "one": [LARGE] if one else []}
    packages = {}
    for name, sizes in counts.items():
        if sizes:
            packages[name] = sim("add_package")
            for size in sizes:
                sim("add_video", packages[name], size=size)
    before = len(sim("ledger.deletions"))
    took = run_child(bench, tree, mode="operators", packages=packages, delete=delete, environment=sim.environment)
    if took and delete and len(sim("ledger.deletions")) - before != COUNT + 1:
        raise RuntimeError("not all were deleted")
    return took


def measure(
    bench: Bench, sim: Remote, earlier: Path | None, round_trip: float, repeat: int, parts: tuple[str, ...]
) -> Rows:
    """Measure all at one round trip, in turns; the earlier commit once, since it is no matter of a few percent."""
    bench.set_delay(round_trip / 2000)
    wanted = {"many": "many" in parts, "one": "one" in parts, "delete": "delete" in parts}
    plain = {"small": SMALL, "count": COUNT if wanted["many"] else 0, "large": LARGE if wanted["one"] else 0}
    seen: dict[str, list[dict[str, float]]] = {"ours": [], "store": [], "sdk": [], "before": []}
    for number in range(repeat):
        seen["ours"].append(run_tasks(bench, sim, None, **wanted))
        seen["store"].append(run_child(bench, None, mode="store", **plain))
        seen["sdk"].append(run_child(bench, None, mode="sdk", **plain))
        if earlier is not None and not number:
            seen["before"].append(run_tasks(bench, sim, earlier, **wanted))
    rows = []
    for key, what in (
        ("many", f"{COUNT} of 500 KB, s"),
        ("one", "one of 128 MiB, s"),
        ("delete", f"{COUNT} guarded deletions, s"),
    ):
        if wanted[key]:
            medians = {who: _median(each.get(key) for each in found) for who, found in seen.items()}
            rows.append({"kind": bench.store, "round_trip_ms": round_trip, "what": what, **medians})
    if wanted["one"]:
        peaks = {who: _median(each.get("peak_mib") for each in found) for who, found in seen.items()}
        rows.append({"kind": bench.store, "round_trip_ms": round_trip, "what": "peak memory, MiB", **peaks})
    return rows


def _median(values: Iterator[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return statistics.median(found) if found else None


def run(store: str, round_trips: list[float], repeat: int, parts: tuple[str, ...], *, earlier: bool = True) -> Rows:
    """Measure one store; what comes of it is printed as it comes."""
    rows = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bench = stack.enter_context(STORES[store](folder))
        sim = stack.enter_context(simulator())
        tree = stack.enter_context(earlier_commit()) if earlier else None
        for round_trip in round_trips:
            for row in measure(bench, sim, tree, round_trip, repeat, parts):
                rows.append(row)
                print(json.dumps(row), flush=True)
    return rows


def table_row(row: dict[str, Any]) -> list[str]:
    """Words of one row for docs/benchmarks.md, and how often ours goes into the earlier commit's and the SDK's."""

    def seconds(who: str) -> str:
        return "-" if row[who] is None else f"{row[who]:.2f}"

    def ratio(whose: str, who: str) -> str:
        return "-" if row[whose] is None or row[who] is None else f"{row[whose] / row[who]:.2f}"

    first = [row["what"], f"{row['round_trip_ms']:.0f}", seconds("ours"), seconds("store")]
    return [
        *first,
        seconds("sdk"),
        ratio("sdk", "ours"),
        ratio("sdk", "store"),
        seconds("before"),
        ratio("before", "ours"),
    ]


HEAD = [
    *("what", "round trip, ms", "ours", "store", "SDK", "SDK / ours", "SDK / store"),
    *(COMMIT, f"{COMMIT} / ours"),
]


NOTE = f"""Medians. "Ours" is the download operator with its defaults: it fetches from the platform, hashes, copies and
writes the custody records; "store" is copies and records alone; "SDK" is the bytes alone (S3: boto3's `upload_fileobj`,
4 threads). {COMMIT} is an earlier commit's operator, measured once. Guarded deletions read each copy once more.
`python -m benchmarks.storing --store s3|azure|gcs`.

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=tuple(STORES), default="s3")
    parser.add_argument("--round-trips", type=float, nargs="+", default=[0.0, 20.0, 80.0], metavar="MS")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--parts", nargs="+", choices=("many", "one", "delete"), default=["many", "one", "delete"])
    parser.add_argument("--only-ours", action="store_true", help="leave the earlier commit out")
    given = parser.parse_args()
    rows = run(given.store, given.round_trips, given.repeat, tuple(given.parts), earlier=not given.only_ours)
    print("\n" + "\n".join(" | ".join(table_row(row)) for row in rows))


if __name__ == "__main__":
    main()
