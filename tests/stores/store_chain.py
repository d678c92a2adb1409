"""The provider's tasks, with their copies in one bucket."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StoreChain:
    """The provider's tasks and one bucket."""

    chain: Any
    bucket: Any

    @property
    def sim(self) -> Any:
        return self.chain.sim

    @property
    def url(self) -> str:
        return str(self.bucket.url)

    def package(self, *videos: dict[str, Any] | str) -> tuple[str, list[str]]:
        package, ids = self.chain.package(*videos)
        return str(package), list(ids)

    def download(self, package: str, **arguments: Any) -> Any:
        return self.chain.download(package, destination=self.url, **arguments)

    def delete(self, **arguments: Any) -> Any:
        return self.chain.delete(**arguments)

    def names(self, package: str) -> list[str]:
        folder = f"copies/{package}/"
        return sorted(name.removeprefix(folder) for name in self.bucket.names(folder))

    def get(self, package: str, name: str) -> bytes:
        return bytes(self.bucket.get(f"copies/{package}/{name}"))

    def json(self, package: str, name: str) -> Any:
        return json.loads(self.get(package, name))

    def put(self, package: str, name: str, data: bytes) -> None:
        self.bucket.put(f"copies/{package}/{name}", data)

    def store(self, token: str = "adhoc") -> Any:
        from airflow_provider_iinked.storage import open_store

        return open_store(self.url, token)
