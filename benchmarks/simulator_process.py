"""The simulator in a process of its own, so that its work is not counted as the client's."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any


def _serve(pipe: Connection, options: dict[str, Any]) -> None:
    from airflow_provider_iinked.simulator import IinkedSimulator

    with IinkedSimulator(**options) as simulator:
        pipe.send(simulator.connection_env(timeout=60))
        while (call := pipe.recv()) is not None:
            path, args, kwargs = call
            target: Any = simulator
            for name in path.split("."):
                target = getattr(target, name)
            pipe.send(target(*args, **kwargs) if callable(target) else target)


class Remote:
    """Calls methods of the simulator over a pipe."""

    def __init__(self, pipe: Connection, environment: dict[str, str]) -> None:
        self._pipe = pipe
        self.environment = environment

    def __call__(self, path: str, *args: Any, **kwargs: Any) -> Any:
        self._pipe.send((path, args, kwargs))
        return self._pipe.recv()


@contextmanager
def simulator(**options: Any) -> Iterator[Remote]:
    """Run the simulator; give a way to call it."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, options), daemon=True)
    process.start()
    try:
        yield Remote(ours, ours.recv())
        ours.send(None)
        process.join(10)
    finally:
        process.terminate()
        process.join()
