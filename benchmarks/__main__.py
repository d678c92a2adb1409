"""
``python -m benchmarks [--only waiting downloading ...]``: measure, print tables, write docs/benchmarks.md.

A part that is left out keeps its table from the last time, with its own date.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
SERVERS_PYTHON = ROOT / ".venvs" / "servers" / "bin" / "python"
HEAD = """# Benchmarks

Written by `make bench` (`python -m benchmarks`), which measures everything side by side in one run. Read ratios, not
absolute numbers: they are what holds on another machine. What each part does stands in the first lines of its module
in `benchmarks/`.
"""


def _waiting() -> str:
    from benchmarks import waiting

    names = {
        "requests_per_interval": "requests per 5 s",
        "most_in_250_ms": "most requests in any 250 ms",
        "worst_stall_ms": "worst stall of the event loop, ms",
        "worst_stall_own_ms": "the same without garbage collections, ms",
        "worst_stall_at_start_ms": "worst stall while they start, ms",
        "worst_stall_at_start_own_ms": "the same without garbage collections, ms",
        "worst_collection_ms": "longest garbage collection of the process, ms",
        "sockets": "sockets",
        "cpu_ms_per_poll": "CPU per poll, ms",
        "kib_per_wait": "memory per wait, KiB",
    }
    parts = []
    for waits, rounds in ((1000, 4), (10_000, 2)):
        results = waiting.run(waits, rounds)
        rows = [
            [words, *(f"{results[who][key]:.{0 if results[who][key] >= 100 else 2}f}" for who in ("ours", "http"))]
            for key, words in names.items()
        ]
        ratio = results["ours"]["cpu_ms_per_poll"] / results["http"]["cpu_ms_per_poll"]
        rows.append(["CPU per poll, share of the http provider's", f"{ratio:.2f}", "1"])
        even = waits / waiting.INTERVAL * 0.25
        parts.append(
            f"{waits:,} waits that poll every 5 s (an even share of 250 ms would be {even:.0f} requests):\n\n"
            + _table(["", "ours", "http provider's sensor trigger"], rows)
        )
    return "\n".join(parts)


def _downloading() -> str:
    from benchmarks import downloading

    return _table(["recording", "how", "seconds (median)", "MB/s", "peak memory, MiB"], downloading.run())


def _deleting() -> str:
    from benchmarks import deleting

    head = ["500 recordings, 2 ms latency", "seconds (median)", "speed of the bare loop = 1", "requests", "connections"]
    return _table(head, deleting.run())


def _storing(store: str) -> str:
    """Runs where the servers are installed, which is another environment."""
    from benchmarks import storing

    python = SERVERS_PYTHON if SERVERS_PYTHON.exists() else Path(sys.executable)
    command = [str(python), "-m", "benchmarks.storing", "--store", store]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return storing.NOTE + _table(storing.HEAD, [storing.table_row(row) for row in rows])


def _importing() -> str:
    from benchmarks import importing

    return _table(["import, on top of Airflow's own", "ms (median)", "http provider's time / this"], importing.run())


def _chain() -> str:
    from benchmarks import chain

    return _table(["50 packages, 100 recordings of 1 MB", ""], chain.run())


def _sealing() -> str:
    from benchmarks import sealing

    signing = _table(["", "ms"], sealing.signing())
    head = [
        f"{sealing.RECORDINGS:,} recordings",
        *("seconds", "CPU seconds", "recordings a second", "files read", "peak memory, MiB"),
    ]
    return f"{signing}\n{_table(head, sealing.run())}"


def _sweep() -> str:
    from benchmarks import sweeping

    head = [f"{sweeping.PACKAGES} packages, one recording each", "tasks", "seconds", "packages a second", "speed"]
    return _table(head, sweeping.run())


def _listing() -> str:
    from benchmarks import listing_packages as listing

    return _table(
        [f"{listing.PACKAGES} packages, {listing.LATENCY * 1000:.0f} ms an answer", "seconds", "speed"], listing.run()
    )


def _verifying() -> str:
    from benchmarks import verifying

    head = [
        f"{verifying.PACKAGES} packages, {verifying.DELAY * 1000:.0f} ms an answer of the store",
        "seconds",
        "speed",
    ]
    return _table(head, verifying.run())


def _memory() -> str:
    from benchmarks import batch_memory

    head = [
        "peak memory of the process, MiB",
        f"{batch_memory.FEW} packages",
        f"{batch_memory.MANY:,} packages",
        "more",
    ]
    return _table(head, batch_memory.run())


PARTS: dict[str, tuple[str, Callable[[], str]]] = {
    "waiting": ("Waits in the triggerer", _waiting),
    "downloading": ("Download", _downloading),
    "deleting": ("Deletion", _deleting),
    "s3": ("S3 (moto) behind a slow wire", partial(_storing, "s3")),
    "azure": ("Azure Blob Storage (azurite) behind a slow wire", partial(_storing, "azure")),
    "gcs": ("Google Cloud Storage (fake-gcs-server) behind a slow wire", partial(_storing, "gcs")),
    "importing": ("Import", _importing),
    "sealing": ("Signing, sealing, auditing", _sealing),
    "chain": ("The whole chain under LocalExecutor and PostgreSQL", _chain),
    "sweep": ("The nightly sweep under LocalExecutor and PostgreSQL", _sweep),
    "listing": ("`IinkedListPackagesOperator(with_archived_videos=True)`", _listing),
    "verifying": ("`custody verify` on a slow store", _verifying),
    "memory": ("Memory of a task with many packages", _memory),
}


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _machine() -> str:
    with open("/proc/cpuinfo") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ("apache-airflow", "aiohttp", "requests", "apache-airflow-providers-http", "airflow-provider-iinked")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    return (
        f"{os.cpu_count()} cores ({model.group(1) if model else platform.machine()}), {memory:.0f} GiB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, {versions}; "
        f"load when it began {os.getloadavg()[0]:.1f}"
    )


def main() -> None:
    """Measure what was named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    chosen = parser.parse_args().only
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="iinked-bench-home-")
    page = PAGE.read_text() if PAGE.exists() else ""
    sections = dict(re.findall(r"<!-- (\w+) -->\n(.*?)(?=<!-- |\Z)", page, re.S))
    for name in chosen:
        title, measure = PARTS[name]
        when = dt.datetime.now(dt.UTC).date().isoformat()
        machine = _machine()
        table = measure()
        print(f"\n{title}\n\n{table}", flush=True)
        sections[name] = f"## {title}\n\n{table}\nMeasured {when} on {machine}.\n\n"
    body = "".join(f"<!-- {name} -->\n{sections[name].rstrip()}\n\n" for name in PARTS if name in sections)
    PAGE.write_text(f"{HEAD}\n{body}".rstrip() + "\n")
    print(json.dumps({"written": str(PAGE.relative_to(PAGE.parent.parent))}))


if __name__ == "__main__":
    main()
