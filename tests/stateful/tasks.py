"""What the rules of the state machine are made of: recordings, mishaps, and tasks that run."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine

from airflow_provider_iinked.exceptions import IinkedSignError
from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator
from tests.stateful import faults as mishaps
from tests.stateful.world import TALLY, Centre, Run, World, read_json

MASKERS = ("airflow.sdk._shared.secrets_masker.secrets_masker", "airflow.utils.log.secrets_masker")
STATES = ("started", "queued", "failed", "archived", "archived", "deleted", "quarantined")
Turmoil = tuple[list[Any], list[tuple[int, int, str]]]
"""Faults that wait for a task's requests, and what happens while so many of them are being answered."""


def claims_of(xcom: list[dict[str, Any]]) -> dict[Any, list[dict[str, Any]]]:
    """The copies in an XCom, by the id of their recording."""
    claims: dict[Any, list[dict[str, Any]]] = {}
    for copy in xcom:
        claims.setdefault(copy.get("meeting_video_id"), []).append(copy)
    return claims


def in_order(meanwhile: Turmoil) -> dict[str, int]:
    """Verify nothing ahead where copies are spoilt meanwhile: what is spoilt after its verification is not seen."""
    return {"max_parallel": 1} if meanwhile[1] else {}


def let_operators_run_here() -> None:
    """Airflow 2.11 notes who runs an operator, and does so in the thread alone that imported it first."""
    with contextlib.suppress(ImportError):
        from airflow.models.baseoperator import ExecutorSafeguard

        ExecutorSafeguard._sentinel.callers = {}


class ChainTasks(RuleBasedStateMachine):
    """Two data centres, and the tasks of Dags that archive their packages."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.xcoms: list[tuple[int, str, list[dict[str, Any]]]] = []
        for centre in self.world.centres:
            self._connect(centre)
        TALLY["examples"] += 1

    def teardown(self) -> None:
        self.world.close()
        for name in MASKERS:
            # Airflow compiles all secrets of a process anew for each one more; a real task meets those of one package.
            if module := sys.modules.get(name):
                masker = module._secrets_masker()
                masker.patterns, masker.replacer = set(), None

    def _connect(self, centre: Centre) -> None:
        os.environ.update(centre.sim.connection_env(centre.conn_id, max_retries=2, timeout=20))

    def _add(self, number: int, package: str, state: str, size: int) -> None:
        # Both data centres give the same ids, so that a mix-up of the two would not go unnoticed.
        centre = self.world.centres[number]
        count = len(centre.videos(package)) + centre.removed[package]
        container = "webm" if (number + count) % 2 else "mp4"
        video_id = centre.sim.add_video(
            package, f"{package}-v{count}", state=state, size=size + number, container=container
        )
        centre.note_content(video_id)

    def _video_id(self, package: str, slot: int, number: int | None = None) -> str:
        """The id behind a slot: 0 is the newest recording of a data centre (None: of any); or one that never was."""
        centres = self.world.centres if number is None else [self.world.centres[number]]
        ids = sorted({video for centre in centres for video in centre.videos(package)}, key=lambda v: (len(v), v))
        return ids[-1 - slot] if slot < len(ids) else f"{package}-never"

    def _change(self, number: int, package: str, slot: int, how: str) -> None:
        centre, video_id = self.world.centres[number], self._video_id(package, slot, number)
        if how == "appear":
            self._add(number, package, "archived", 30_000)
        if video_id not in centre.videos(package):
            return
        self.world.moved.add(video_id)
        if how == "vanish":
            centre.sim.remove_video(package, video_id)
            centre.removed[package] += 1
        elif how == "content":
            centre.sim.change_content(video_id)
            centre.note_content(video_id)
        elif how in STATES:
            centre.sim.set_state(package, video_id, how)
        elif how != "appear":
            centre.sim.set_fields(package, video_id, **{how: {"size": 5, "duration": "PT9S"}.get(how, "x")})

    def plan_fault(self, number: int, fault: Any) -> None:
        self.world.centres[number].sim.faults.add(fault)
        TALLY["faults planned"] += 1

    def _xcom(self, pick: int) -> tuple[int, str, list[dict[str, Any]]] | None:
        """One of the latest XComs."""
        return self.xcoms[-1 - pick % min(4, len(self.xcoms))] if self.xcoms else None

    def _meanwhile(self, number: int, package: str, turmoil: Turmoil) -> None:
        """Let requests fail, recordings change, and copies get spoilt while a task's requests are being answered."""
        faults, happenings = turmoil
        for fault in faults:
            self.plan_fault(number, fault)
        actions: dict[int, Callable[[], None]] = {}
        for request, slot, how in happenings:
            actions[request] = lambda slot=slot, how=how: self._happen(number, package, slot, how)
        self.world.centres[number].plan(actions)

    def _happen(self, number: int, package: str, slot: int, how: str) -> None:
        if how in ("gone", "cut", "longer", "changed"):
            for path in self.world.root.glob(f"*/{package}/{self._video_id(package, slot)}.[mw]*"):
                self.world.spoil(path, mishaps.spoil_bytes(path.read_bytes(), how))
        else:
            self._change(number, package, slot, how)

    def _execute(self, operator: Any) -> Any:
        """Run a task; None when it failed with an error of ours. Any other error breaks the machine."""
        TALLY["tasks"] += 1
        try:
            return operator.execute({})
        except IinkedSignError:
            TALLY["tasks failed"] += 1
            return None

    def _begin_task(self) -> None:
        self.world.touched = False
        self.world.moved.clear()

    def _download(self, number: int, package: str | list[str], ids: Any, allow_partial: bool, **more: Any) -> Any:
        return IinkedDownloadVideosOperator(
            task_id="download",
            package_id=package,
            meeting_video_ids=ids,
            allow_partial=allow_partial,
            iinked_sign_conn_id=self.world.centres[number].conn_id,
            **{"destination": self.world.destination, **more},
        )

    def _ids(self, package: str, chosen: Any) -> Any:
        return chosen if chosen == "*" else [self._video_id(package, slot) for slot in chosen]

    def _keep(self, number: int, package: str, xcom: Any) -> None:
        """Take a download's XCom; it agrees with records and copies unless somebody edited them meanwhile."""
        if xcom is None:
            return
        TALLY["downloads done"] += 1
        self.xcoms.append((number, package, xcom))
        for copy in xcom:
            assert copy["package_id"] == package
            path = self.world.path_of(copy["custody_uri"]) or Path("/nowhere")
            assert path.name == f"{copy['meeting_video_id']}.custody.json"
            record = read_json(path) or {}
            # A download keeps, unread, what agrees in size and time; an edited record is for the deletion to find.
            if not self.world.touched and not self.world.is_spoilt(path):
                assert record["api_base"] == self.world.centres[number].sim.api_base
                assert {name: record[name] for name in ("uri", "size", "sha256")} == {
                    name: copy[name] for name in ("uri", "size", "sha256")
                }
                assert copy["sha256"] in self.world.centres[number].served[copy["meeting_video_id"]]

    def _delete(self, number: int, run: Run, **arguments: Any) -> Any:
        self.world.active.append(run)
        conn_id = self.world.centres[number].conn_id
        return IinkedDeleteVideosOperator(task_id="delete", iinked_sign_conn_id=conn_id, **arguments)

    def _guarded(
        self,
        number: int,
        xcom: list[dict[str, Any]],
        narrow: Any,
        preview: bool,
        *,
        min_copies: int = 1,
        saw: dict[str, Any] | None = None,
        story: str = "",
        **more: Any,
    ) -> Any:
        named = {copy.get("meeting_video_id") for copy in xcom}
        package = next((copy.get("package_id") for copy in xcom), "none")
        ids = named if narrow is None else named & {narrow}
        claims = claims_of(xcom)
        run = Run(self.world.centres[number], str(package), set() if preview else ids, claims, min_copies, saw)
        run.story = story
        chosen = {} if narrow is None else {"meeting_video_ids": narrow}
        return self._delete(number, run, verified_copies=xcom, preview=preview, min_copies=min_copies, **chosen, **more)

    def _guarded_sweep(self, number: int, copies: dict[str, list[dict[str, Any]]], at_work: int) -> Any:
        """One deletion of the copies of several packages."""
        for package, xcom in copies.items():
            ids = {copy["meeting_video_id"] for copy in xcom}
            self.world.active.append(Run(self.world.centres[number], package, ids, claims_of(xcom)))
        return IinkedDeleteVideosOperator(
            task_id="delete",
            iinked_sign_conn_id=self.world.centres[number].conn_id,
            verified_copies=[copy for xcom in copies.values() for copy in xcom],
            max_parallel=at_work,
        )

    def _run_guarded(
        self,
        number: int,
        package: str,
        xcom: list[dict[str, Any]],
        narrow: Any,
        preview: bool,
        meanwhile: Turmoil,
    ) -> None:
        self._begin_task()
        self._meanwhile(number, package, meanwhile)
        answer = self._execute(self._guarded(number, xcom, narrow, preview, **in_order(meanwhile)))
        self.world.active.clear()
        if answer is not None and not preview:
            named = [copy.get("meeting_video_id") for copy in xcom]
            self._check_deleted(number, package, xcom, named if narrow is None else [narrow])

    def _edit_between(self, xcom: list[dict[str, Any]], between: tuple[str, Any]) -> None:
        """Edit the newest copy's record, or its entry in the XCom."""
        if between[0] == "record":
            path = self.world.path_of(xcom[-1].get("custody_uri"))
            if path is None:
                return
            record = read_json(path) or {}
            self.world.spoil(path, mishaps.as_bytes(mishaps.edit(record, between[1], xcom[0])))
        else:
            xcom[-1] = mishaps.edit(xcom[-1], between, xcom[0])

    def _check_deleted(self, number: int, package: str, xcom: list[dict[str, Any]], ids: list[Any]) -> None:
        """A delete task that ended well has left none of its recordings, and completed their receipts."""
        TALLY["guarded deletes done"] += 1
        centre = self.world.centres[number]
        gone = {d.video_id for d in centre.sim.ledger.deletion_records if d.by_id}
        for video_id in ids:
            video = centre.videos(package).get(video_id)
            assert video is None or video.deleted or video_id in self.world.moved, f"{video_id} is still there"
            for claim in claims_of(xcom)[video_id]:
                copy = self.world.path_of(claim.get("uri"))
                path = copy.with_name(f"{video_id}.deletion.json") if copy is not None else Path("/nowhere")
                receipt = read_json(path)
                if receipt is not None and video_id in gone and receipt.get("api_base") == centre.sim.api_base:
                    assert receipt["status"] in ("deleted", "withdrawn"), path

    def _at_once(self, operators: list[Any], others: Sequence[Callable[[], None]] = ()) -> list[Any]:
        TALLY["tasks at once"] += len(operators)
        results: list[Any] = [None] * len(operators)
        broken: list[BaseException] = []

        def work(position: int, operator: Any) -> None:
            let_operators_run_here()
            try:
                results[position] = self._execute(operator)
            except BaseException as error:
                broken.append(error)

        def join_in(other: Callable[[], None]) -> None:
            try:
                other()
            except BaseException as error:
                broken.append(error)

        threads = [threading.Thread(target=work, args=item) for item in enumerate(operators)]
        threads += [threading.Thread(target=join_in, args=(other,)) for other in others]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if broken:
            raise broken[0]
        return results
