"""
Guarded deletion of 40 recordings of 500 KB whose copies lie on S3 behind a slow wire.

``python -m benchmarks.deleting_guarded [--round-trip 20] [--repeat 3]`` needs what the tests of object stores need.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import statistics
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from airflow_provider_iinked.simulator import IinkedSimulator
from tests.servers.delay import slow_wire
from tests.stores.store_servers import S3Bucket, s3_server

COUNT = 40
SIZE = 500_000


def measure(round_trip: float, repeat: int) -> list[float]:
    """
    Delete, with copies that were made without a delay.

    :param round_trip: milliseconds for a round trip to the store.
    :param repeat: how often.
    :return: seconds of each deletion.
    """
    from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator

    took = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        endpoint = stack.enter_context(s3_server(folder))
        wire = stack.enter_context(slow_wire(urlsplit(endpoint).port or 0, delay=0.0))
        bucket = S3Bucket(endpoint, "evidence")
        name, connection = bucket.connection()
        os.environ[name] = connection.replace(endpoint, wire.url())
        for turn in range(repeat):
            with IinkedSimulator() as simulator:
                os.environ.update(simulator.connection_env())
                package = simulator.add_package(package_id=f"package-{turn}")
                for _ in range(COUNT):
                    simulator.add_video(package, size=SIZE)
                wire.delay = 0.0
                download = IinkedDownloadVideosOperator(
                    task_id=f"download_{turn}", package_id=package, destination=bucket.url
                )
                copies = download.execute({})
                wire.delay = round_trip / 2000
                delete = IinkedDeleteVideosOperator(task_id=f"delete_{turn}", verified_copies=copies)
                began = time.perf_counter()
                delete.execute({})
                took.append(time.perf_counter() - began)
                if len(simulator.ledger.deletions) != COUNT:
                    raise SystemExit("not all were deleted")
    return took


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--round-trip", type=float, default=20.0)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    took = measure(arguments.round_trip, arguments.repeat)
    print(f"{COUNT} recordings, {arguments.round_trip:.0f} ms: median {statistics.median(took):.2f} s of {took}")


if __name__ == "__main__":
    main()
