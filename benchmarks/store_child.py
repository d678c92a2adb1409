"""
One process that copies to a store, and deletes behind it, as a task does; run by :mod:`benchmarks.storing`.

It runs with this commit's package on its path or with an earlier one's, so it uses only what both have: the operators.
``sdk`` does without the package: the bytes alone, with what the store's own library offers. ``store`` is what lies
between: this commit's store and a record, without the platform.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

MIB = 1 << 20
Act = Callable[[str, bytes], Any]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    made = work()
    return time.perf_counter() - began, made


def many(act: Act, prefix: str, data: bytes, count: int) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: act(f"{prefix}-{number}", data), range(count)))


def s3_sdk(given: dict[str, Any]) -> Act:
    """boto3's ``upload_fileobj``."""
    import boto3

    login = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "example", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=given["endpoint"], **login)
    return lambda name, data: client.upload_fileobj(io.BytesIO(data), given["bucket"], f"theirs/{name}")


def azure_sdk(given: dict[str, Any]) -> Act:
    """``upload_blob`` with as many connections as boto3 takes."""
    from azure.storage.blob import BlobServiceClient

    client = BlobServiceClient.from_connection_string(given["connection_string"])
    container = client.get_container_client(given["bucket"])
    return lambda name, data: container.upload_blob(f"theirs/{name}", data, max_concurrency=10)


def gcs_sdk(given: dict[str, Any]) -> Act:
    """gcsfs' own ``pipe_file``."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    fs = ObjectStoragePath(given["url"]).fs
    return lambda name, data: fs.pipe_file(f"{given['bucket']}/theirs/{name}", data)


SDKS: dict[str, Callable[[dict[str, Any]], Act]] = {"s3": s3_sdk, "azure": azure_sdk, "gcs": gcs_sdk}


def store_act(given: dict[str, Any]) -> Act:
    """One object and a record beside it, as the download publishes them."""
    from airflow_provider_iinked.storage import open_store

    store = open_store(given["url"], "benchmark")

    def write(name: str, data: bytes) -> None:
        upload = store.upload(f"{given['url']}/{name}.mp4", len(data))
        for at in range(0, len(data), MIB):
            upload.write(data[at : at + MIB])
        info = upload.publish()
        upload.discard()
        if info is None or info.size != len(data):
            raise SystemExit(f"{name} is not there")
        record = {"size": info.size, "validator": dict(info.validator or {})}
        if not store.create_json(f"{given['url']}/{name}.custody.json", record):
            raise SystemExit(f"the record of {name} was there already")

    return write


def write_objects(act: Act, given: dict[str, Any]) -> dict[str, float]:
    """Write one object, many, and one large one; the first makes connections and imports."""
    act(f"{given['name']}-warm", os.urandom(given["small"]))
    small, large = os.urandom(given["small"]), os.urandom(given["large"])
    took = {"many": timed(partial(many, act, given["name"], small, given["count"]))[0]} if given["count"] else {}
    if given["large"]:
        took["one"], _ = timed(partial(act, f"{given['name']}-large", large))
    return took


def run_operators(given: dict[str, Any]) -> dict[str, float]:
    """Copy packages, and delete the recordings of one of them; the first package makes connections and imports."""
    from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator

    def download(package: str) -> list[dict[str, Any]]:
        task_id = f"download_{re.sub(r'[^a-z0-9]', '_', package)}"
        operator = IinkedDownloadVideosOperator(task_id=task_id, package_id=package, destination=given["url"])
        return list(operator.execute({}))

    def delete(task_id: str, copies: list[dict[str, Any]]) -> None:
        IinkedDeleteVideosOperator(task_id=task_id, verified_copies=copies).execute({})

    warm, packages = given["packages"]["warm"], given["packages"]
    copies = download(warm)
    if given["delete"]:
        delete("warm", copies)
    took = {}
    if "many" in packages:
        took["many"], copies = timed(partial(download, packages["many"]))
        if given["delete"]:
            took["delete"], _ = timed(partial(delete, "delete", copies))
    if "one" in packages:
        took["one"], _ = timed(partial(download, packages["one"]))
    took["peak_mib"] = int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1024
    return took


def main() -> None:
    """Do what the parent asks for, and answer with seconds."""
    given = json.loads(sys.argv[1])
    logging.disable(logging.CRITICAL)
    if given["mode"] == "operators":
        took = run_operators(given)
    else:
        act = SDKS[given["store"]](given) if given["mode"] == "sdk" else store_act(given)
        took = write_objects(act, given)
    print("RESULT", json.dumps(took))


if __name__ == "__main__":
    main()
