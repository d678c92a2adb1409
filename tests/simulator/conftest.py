from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests

from airflow_provider_iinked.simulator import IinkedSimulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def sim() -> Iterator[IinkedSimulator]:
    with IinkedSimulator() as simulator:
        yield simulator


@pytest.fixture
def http(sim: IinkedSimulator) -> Iterator[requests.Session]:
    """A session with the key, for API calls only."""
    with requests.Session() as session:
        session.headers["api_key"] = sim.api_key
        session.trust_env = False
        yield session


@pytest.fixture
def listed(sim: IinkedSimulator, http: requests.Session) -> Callable[[str], list[dict]]:
    def ask(package_id: str) -> list[dict]:
        answer = http.get(f"{sim.api_base}/packages/{package_id}/videos", timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()["videos"]

    return ask


@pytest.fixture
def delete(sim: IinkedSimulator, http: requests.Session) -> Callable[..., requests.Response]:
    def ask(package_id: str, video_id: str | None = None, **body: object) -> requests.Response:
        sent = {"packageId": package_id, **({} if video_id is None else {"meetingVideoId": video_id}), **body}
        return http.post(f"{sim.api_base}/packages/{package_id}/videos/delete", json=sent, timeout=30)

    return ask
