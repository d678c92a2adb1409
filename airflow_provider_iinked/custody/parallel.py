"""Doing things side by side and getting the results in order, without holding more than a few of them. Pure threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], *, ahead: int
) -> Iterator[Result]:
    """
    Call a function for each item side by side; unlike ``Executor.map`` it takes items only as results are used.

    :param pool: where the calls run.
    :param function: the function.
    :param items: the items; taken in the caller's thread.
    :param ahead: how many calls may be under way or finished and not used yet.
    :return: the results, in the order of the items.
    """
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
