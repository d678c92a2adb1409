"""A key, a token and signed URLs go through the whole chain at DEBUG, with failures in between: found nowhere."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
import traceback
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_iinked.exceptions import IinkedSignError
from airflow_provider_iinked.simulator import Fault, IinkedSimulator

KEY = f"canary-key-{secrets.token_hex(12)}"
ECHO = {"error": "package_not_authorized", "message": f"the key {KEY} may not do that"}
CODE = {"error": f"bad_{KEY}", "message": "no"}


class Witness(logging.Handler):
    """Everything that any logger says, without Airflow's masking: what is never said needs none."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        told = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        self.lines.append(f"{record.name} {record.getMessage()} {record.args!r} {told}")


class Chain:
    """The chain's tasks, with all that they leave behind."""

    def __init__(self, sim: IinkedSimulator, folder: Path) -> None:
        self.sim = sim
        self.folder = folder
        self.package = sim.add_package()
        self.videos = [sim.add_video(self.package, size=size) for size in (30_000, 80_000)]
        self.traces: list[str] = []
        self.lineage: list[str] = []
        self.tokens: list[str] = []
        mint = sim._store.mint
        sim._store.mint = lambda *args: self._note(mint(*args))  # type: ignore[method-assign]

    def _note(self, token: str) -> str:
        self.tokens.append(token)
        return token

    def keep(self, value: Any) -> Any:
        self.traces.append(json.dumps(value, default=repr) + repr(value))
        return value

    def run(self, operator: Any) -> Any:
        self.keep(vars(operator))
        try:
            result = self.keep(operator.execute({}))
            if hasattr(operator, "get_openlineage_facets_on_complete") and find_spec("airflow.providers.openlineage"):
                self.lineage.append(repr(operator.get_openlineage_facets_on_complete(None)))
            return result
        except IinkedSignError as error:
            self.keep_error(error)
            return None

    def keep_error(self, error: BaseException | None) -> None:
        """An error's text, its traceback, and those of all that it was raised from, shown or not."""
        seen: set[int] = set()
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            self.traces += [str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)]
            error = error.__cause__ or error.__context__

    def download(self) -> Any:
        from airflow_provider_iinked.operators.videos import IinkedDownloadVideosOperator

        return self.run(
            IinkedDownloadVideosOperator(
                task_id="download",
                package_id=self.package,
                destination=f"file://{self.folder}",
                package_fields=["name"],
            )
        )

    def delete(self, copies: Any) -> Any:
        from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator

        return self.run(IinkedDeleteVideosOperator(task_id="delete", verified_copies=copies))

    def wait(self) -> Any:
        from airflow_provider_iinked.sensors.videos import IinkedVideosArchivedSensor

        return self.run(
            IinkedVideosArchivedSensor(
                task_id="wait", package_id=self.package, timeout=2, poke_interval=0.05, max_consecutive_errors=1
            )
        )

    def trigger(self) -> None:
        from airflow_provider_iinked.triggers.videos import IinkedVideosArchivedTrigger

        trigger = IinkedVideosArchivedTrigger(
            iinked_sign_conn_id="iinked_sign_default",
            package_id=self.package,
            meeting_video_ids="*",
            min_videos=1,
            on_failed="fail",
            on_deleted="fail",
            poll_interval=0.05,
            end_time=time.time() + 2,
            max_consecutive_errors=1,
        )
        self.keep(trigger.serialize())

        async def run() -> list[Any]:
            try:
                return [event.payload async for event in trigger.run()]
            finally:
                await trigger.cleanup()

        self.keep(asyncio.run(run()))
        self.keep({"trigger": repr(vars(trigger))})

    def texts(self, witness: Witness, output: str) -> str:
        files = [path.read_text(errors="replace") for path in self.folder.rglob("*.json")]
        assert files, "the chain left no records"
        return "\n".join([*self.traces, *self.lineage, *witness.lines, output, *files])


@pytest.fixture
def witness() -> Iterator[Witness]:
    handler, root = Witness(), logging.getLogger()
    names = ("", "urllib3", "urllib3.connectionpool", "requests", "httpcore", "httpx", "aiohttp", "asyncio", "fsspec")
    before = {name: (logging.getLogger(name).level, logging.getLogger(name).propagate) for name in names}
    disabled = logging.root.manager.disable
    logging.disable(logging.NOTSET)
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
        logging.getLogger(name).propagate = True
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)
    logging.disable(disabled)
    for name, (level, propagate) in before.items():
        logging.getLogger(name).setLevel(level)
        logging.getLogger(name).propagate = propagate


SIGNED = {"error": "video_invalid", "message": "see https://storage.example.com/v.mp4?access=abcdef and ask"}
MISHAPS = {
    "nothing wrong": [],
    "list: the key in an error's message": [Fault(call="list", kind="status", status=403, body=ECHO)],
    "list: the key in an error's code": [Fault(call="list", kind="status", status=400, body=CODE)],
    "list: a signed URL in an error's message": [Fault(call="list", kind="status", status=400, body=SIGNED)],
    "list: broken off": [Fault(call="list", kind="reset", on=range(1, 9))],
    "list: a page": [Fault(call="list", kind="html", on=range(1, 9))],
    "list: redirected to an address with the key": [
        Fault(call="list", kind="redirect", location=f"http://localhost/{KEY}?api_key={KEY}", on=range(1, 9))
    ],
    "recording: broken off": [Fault(call="recording", kind="cut", after=9_000, on=range(1, 4))],
    "recording: refused": [Fault(call="recording", kind="refuse", on=range(1, 9))],
    "recording: ended": [Fault(call="recording", kind="expire", after=9_000, on=range(1, 3))],
    "recording: a page": [Fault(call="recording", kind="html", on=range(1, 9))],
    "recording: redirected": [Fault(call="recording", kind="redirect")],
    "recording: refused for good": [Fault(call="recording", kind="status", status=400, on="always", times=9)],
    "deletion: answer lost": [Fault(call="delete", kind="lost_answer")],
    "deletion: the key in an error's message": [Fault(call="delete", kind="status", status=403, body=ECHO)],
    "deletion: everything goes": [Fault(call="delete", kind="delete_all_instead")],
}


@pytest.mark.parametrize("auth_type", ["api_key", "bearer"])
@pytest.mark.parametrize("mishap", MISHAPS)
def test_no_key_and_no_signed_url_is_found_anywhere(
    mishap: str,
    auth_type: str,
    tmp_path: Path,
    witness: Witness,
    quick: None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with IinkedSimulator(api_key=KEY) as sim:
        chain = Chain(sim, tmp_path)
        for name, value in sim.connection_env(max_retries=1, timeout=20, auth_type=auth_type).items():
            monkeypatch.setenv(name, value)
        # Each task meets the mishap once, and then does its work.
        for task in (chain.wait, chain.trigger, chain.download):
            sim.faults.add(*MISHAPS[mishap])
            task()
            sim.faults.clear()
        copies = chain.download()
        assert len(copies) == 2
        sim.faults.add(*MISHAPS[mishap])
        chain.delete(copies)
        sim.faults.clear()
        chain.delete(copies)
        assert sorted(sim.ledger.deletions) == sorted(chain.videos)
        assert sim.ledger.credentials_seen_by_recordings_host == []
    output = "".join(capfd.readouterr())
    everything = chain.texts(witness, output)
    assert any(line.startswith("urllib3") for line in witness.lines), "DEBUG was not on"
    assert len(chain.tokens) >= 4
    if find_spec("airflow.providers.openlineage"):
        assert any(chain.videos[0] in event for event in chain.lineage), "OpenLineage got nothing"
    assert KEY not in everything
    for token in chain.tokens:
        assert token not in everything
    assert "access=" not in everything


def test_the_witness_sees_what_urllib3_says_of_a_signed_url(witness: Witness) -> None:
    """The test above can fail: without the provider's care the URL stands in the log."""
    import requests

    with IinkedSimulator() as sim:
        video = sim.add_video(sim.add_package())
        with requests.Session() as session:
            session.trust_env = False
            session.get(sim.url(video), timeout=30)
    assert any("access=" in line for line in witness.lines)
