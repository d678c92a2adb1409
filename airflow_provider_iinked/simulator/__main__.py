"""Command line: ``python -m airflow_provider_iinked.simulator``."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_iinked.simulator.demo import fill
from airflow_provider_iinked.simulator.server import DAY, IinkedSimulator

if TYPE_CHECKING:
    from collections.abc import Sequence

DESCRIPTION = """\
Simulates the documented part of iinked Sign on localhost: packages, recordings, and their deletion for good.
Nothing leaves this machine, and nothing real can be deleted. Stop it with Ctrl-C."""
EPILOG = """\
packages (ids are fixed):
  c603079c-2dc7-4af7-8c2e-dc992662621c  the example of the documents: one recording
  11111111-1111-4111-8111-111111111111  three recordings, one of them archived only after --archive-after seconds
  22222222-2222-4222-8222-222222222222  two archived recordings
  33333333-3333-4333-8333-333333333333  no recordings
  44444444-4444-4444-8444-444444444444  one failed and one archived recording
  55555555-5555-4555-8555-555555555555  one large recording, with --big
  00000000-0000-4000-8000-000000000001  and on, with --packages: one archived recording each

quirks, such as --quirk accept_ranges=False --quirk repeat_delete=not_found, are explained in docs/testing.md"""
UNITS = {"K": 10, "M": 20, "G": 30}


def size(text: str) -> int:
    """A number of bytes; K, M, G at the end mean KiB, MiB, GiB.

    :param text: what the user wrote.
    """
    unit = UNITS.get(text[-1:].upper())
    return int(text[:-1]) << unit if unit else int(text)


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="python -m airflow_provider_iinked.simulator",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = options.add_argument
    add("--port", type=int, default=0, help="port of the API (default: a free one)")
    add("--recordings-port", type=int, default=0, help="port that the recordings' URLs lead to (default: a free one)")
    add("--packages", type=int, default=0, metavar="N", help="add N packages with one recording each")
    add("--archive-after", type=float, default=20.0, metavar="S", help="seconds until the late one is archived (20)")
    add("--big", type=size, default=0, metavar="BYTES", help="add one recording of this size; K, M, G are understood")
    add("--ledger", type=Path, metavar="FILE", help="append each request and each deletion as a line of JSON")
    add("--ready-file", type=Path, metavar="FILE", help="write addresses, key and connection there once listening")
    add("--api-key", metavar="KEY", help="the key that is let in (default: a new one)")
    add(
        "--url-lifetime", type=float, default=DAY, metavar="S", help="seconds for which a recording's URL works (a day)"
    )
    add("--latency", type=float, default=0.0, metavar="S", help="seconds before each answer of the API")
    add("--quirk", action="append", default=[], metavar="NAME=VALUE", help="depart from the documents; may be repeated")
    return options


def announce(sim: IinkedSimulator) -> None:
    """Print where it is, how Airflow gets there, and what it holds.

    :param sim: a running simulator.
    """
    print(f"API         {sim.api_base}")
    print(f"recordings  {sim.recordings_base}")
    for name, value in sim.connection_env().items():
        print(f"\nexport {name}={shlex.quote(value)}\n")
    print(f"{'package':38}{'recording':38}{'state':10}{'bytes':>12}")
    for package in sim.packages():
        for video in package.videos.values():
            print(f"{package.package_id:38}{video.meeting_video_id:38}{video.state:10}{video.size:12,}")
        if not package.videos:
            print(f"{package.package_id:38}-")
    sys.stdout.flush()


def write_ready_file(sim: IinkedSimulator, path: Path) -> None:
    """Say where the simulator is, in a file that is whole as soon as it exists.

    :param sim: a running simulator.
    :param path: the file.
    """
    facts = {
        "api_base": sim.api_base,
        "recordings_base": sim.recordings_base,
        "api_key": sim.api_key,
        "connection": sim.connection_json(),
        "pid": os.getpid(),
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(facts, indent=2) + "\n")
    temporary.replace(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Run until interrupted.

    :param argv: arguments; None: the command line's.
    """
    options = parser()
    chosen = options.parse_args(argv)
    sim = IinkedSimulator(
        port=chosen.port,
        recordings_port=chosen.recordings_port,
        api_key=chosen.api_key,
        url_lifetime=chosen.url_lifetime,
        ledger_file=chosen.ledger,
        latency=chosen.latency,
    )
    try:
        for assignment in chosen.quirk:
            sim.quirks.set_text(assignment)
        fill(sim, archive_after=chosen.archive_after, packages=chosen.packages, big=chosen.big)
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        sim.start()
    except (AttributeError, ValueError, OSError) as error:
        options.error(str(error))
    announce(sim)
    if chosen.ready_file:
        write_ready_file(sim, chosen.ready_file)
    stop.wait()
    sim.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
