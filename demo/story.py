"""Tell from the simulator's ledger what the Dag does, while it does it."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_iinked.simulator import IinkedSimulator, RequestRecord


class Story:
    """
    Lines about one package, as things happen.

    :param sim: the simulator.
    :param package_id: the package.
    """

    def __init__(self, sim: IinkedSimulator, package_id: str) -> None:
        self._sim = sim
        self._package_id = package_id
        self._started = time.time()
        self._told = 0
        self._last = ""

    def tell(self, text: str, at: float | None = None) -> None:
        """
        Print a line with the time since the start.

        :param text: the line.
        :param at: when, as seconds since 1970; None for now.
        """
        print(f"{(at or time.time()) - self._started:7.1f} s  {text}", flush=True)

    def catch_up(self) -> int:
        """
        Tell what the ledger has noted since the last call.

        :return: how many requests have been shown so far.
        """
        requests = self._sim.ledger.requests()
        for request in requests[self._told :]:
            if request.status is None:
                # Its answer is on the way; it is shown next time, and those after it too.
                break
            self._told += 1
            line = self._line(request)
            # A list that looks as it did a moment before is no news.
            if line and line != self._last:
                self.tell(line, request.time)
                self._last = line
        return self._told

    def _line(self, request: RequestRecord) -> str:
        if request.call == "list":
            states = Counter(self._states_at(request))
            return "the list shows " + ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        if request.call == "recording":
            return f"copying   {request.video_id}"
        if request.call == "delete":
            return f"deleting  {request.video_id or 'EVERYTHING'}, HTTP {request.status}"
        return ""

    def _states_at(self, request: RequestRecord) -> Iterator[str]:
        """States as that request saw them; by now a recording may have gone."""
        gone = {one.video_id for one in self._sim.ledger.deletion_records if one.request < request.number}
        moment = self._sim.clock.timestamp() - (time.time() - request.time)
        package = next(one for one in self._sim.packages() if one.package_id == self._package_id)
        for video in package.videos.values():
            reached = [state for since, state in video.life if since <= moment]
            yield "deleted" if video.meeting_video_id in gone else (reached or [video.life[0][1]])[-1]
