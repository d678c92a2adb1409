"""The packages that the command line offers; their ids are fixed, so that example Dags can name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_iinked.simulator.server import IinkedSimulator

ROOM = "11111111-1111-4111-8111-111111111111"
PAIR = "22222222-2222-4222-8222-222222222222"
EMPTY = "33333333-3333-4333-8333-333333333333"
HALF_FAILED = "44444444-4444-4444-8444-444444444444"
BIG = "55555555-5555-4555-8555-555555555555"
MINUTES = 60.0


def video_id(package_id: str, number: int) -> str:
    """Id of a demo package's recording: the package's, with the number at its end.

    :param package_id: the package.
    :param number: from 1.
    """
    return f"{package_id[:-12]}{number:012d}"


def numbered_package(number: int) -> str:
    """Id of one of the packages made by ``--packages``.

    :param number: from 1.
    """
    return f"00000000-0000-4000-8000-{number:012d}"


def fill(sim: IinkedSimulator, *, archive_after: float, packages: int = 0, big: int = 0) -> None:
    """Add the documents' example and the demo packages.

    :param sim: the simulator.
    :param archive_after: seconds until the third recording of ``ROOM`` is archived.
    :param packages: further packages, each with one recording.
    :param big: size of one large recording in a package of its own; 0: none.
    """
    sim.add_seed_example()
    sim.add_package(ROOM, name="Signing room, one recording still on its way", matterNumber="M-1001")
    sim.add_video(ROOM, video_id(ROOM, 1), size=310_021, duration=5 * MINUTES + 12)
    sim.add_video(ROOM, video_id(ROOM, 2), size=250_013, duration=2 * MINUTES + 7, container="webm")
    sim.add_video(ROOM, video_id(ROOM, 3), archive_after=archive_after)
    sim.add_package(PAIR, name="Signing room, two recordings", matterNumber="M-1002")
    sim.add_video(PAIR, video_id(PAIR, 1), duration=48 * MINUTES)
    sim.add_video(PAIR, video_id(PAIR, 2), retention_in=3 * 24 * 60 * MINUTES)
    sim.add_package(EMPTY, name="Signing room without recordings", matterNumber="M-1003")
    sim.add_package(HALF_FAILED, name="Signing room, one recording failed", matterNumber="M-1004")
    sim.add_video(HALF_FAILED, video_id(HALF_FAILED, 1), fail=True)
    sim.add_video(HALF_FAILED, video_id(HALF_FAILED, 2))
    for number in range(1, packages + 1):
        package_id = sim.add_package(numbered_package(number), name=f"Signing room {number}")
        sim.add_video(package_id, f"00000000-0000-4000-9000-{number:012d}")
    if big:
        sim.add_package(BIG, name="Signing room with a long recording", matterNumber="M-1005")
        sim.add_video(BIG, video_id(BIG, 1), size=big, duration=90 * MINUTES)
