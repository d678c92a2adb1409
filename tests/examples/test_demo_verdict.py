"""The demo's exit code rests on its verdict: each way to disagree has to be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from demo.verdict import judge, look

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Finished:
    """A chain that ran as it should, to be spoilt."""

    def __init__(self, chain: Any) -> None:
        self.sim = chain.sim
        self.package, self.ids = chain.package({}, {})
        wait, copies = chain.wait(self.package), chain.download(self.package)
        delete = chain.delete(verified_copies=copies)
        self.folder: Path = chain.folder / self.package
        self.tasks = {
            name: {"state": "success", "xcom": xcom}
            for name, xcom in {"wait": wait, "download": copies, "delete": delete}.items()
        }

    def holds(self) -> bool:
        recordings = [look(self.folder, video_id) for video_id in self.ids]
        return all(holds for holds, _ in judge(self.sim, self.package, recordings, self.tasks))

    def file(self, suffix: str) -> Path:
        return self.folder / f"{self.ids[0]}{suffix}"


def swap_a_byte(done: Finished) -> None:
    data = bytearray(done.file(".mp4").read_bytes())
    data[-1] ^= 1
    done.file(".mp4").write_bytes(data)


def delete_another(done: Finished) -> None:
    other = done.sim.add_package()
    ledger = done.sim.ledger
    ledger.deleted(ledger.delete_requests[0], other, done.sim.add_video(other), by_id=True)


SPOILS: dict[str, Callable[[Finished], Any]] = {
    "a byte of a copy": swap_a_byte,
    "a copy gone": lambda done: done.file(".mp4").unlink(),
    "a custody record gone": lambda done: done.file(".custody.json").unlink(),
    "a receipt gone": lambda done: done.file(".deletion.json").unlink(),
    "a task failed": lambda done: done.tasks["wait"].update(state="failed"),
    "an XCom gone": lambda done: done.tasks["download"].update(xcom=None),
    "a wrong hash in an XCom": lambda done: done.tasks["download"]["xcom"][0].update(sha256="0" * 64),
    "one too few in the delete's XCom": lambda done: done.tasks["delete"]["xcom"]["videos"].pop(),
    "a deletion of another package": delete_another,
    "no deletion at all": lambda done: done.sim.ledger.clear(),
    "no task ran": lambda done: done.tasks.clear(),
}


def test_a_run_in_which_all_agrees_is_called_so(chain: Any) -> None:
    assert Finished(chain).holds()


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS.keys())
def test_whatever_does_not_agree_is_seen(chain: Any, spoil: Callable[[Finished], Any]) -> None:
    done = Finished(chain)
    spoil(done)
    assert not done.holds()
