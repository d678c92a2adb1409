"""The rules for gaps, jumps and play length, without a file."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_iinked.media.timeline import MAX_GAP, Coverage, Timeline


def timeline(
    video: Iterable[float] = (), audio: Iterable[float] = (), *, timed: bool = False, each: float = 0.0
) -> Timeline:
    """Frames at these times, with durations of ``each``; sounds of 20 ms at those."""
    line = Timeline()
    packets = [(at, 0, each) for at in video] + [(at, 1, 0.02) for at in audio]
    for number, kind in ((0, "video"), (1, "audio")):
        line.open(number, kind=kind, timed=timed)
    for at, number, duration in packets:
        line.add(number, decode=at, start=at, duration=duration)
    return line


def steps(start: float, end: float, step: float) -> list[float]:
    return [start + step * number for number in range(round((end - start) / step))]


SOUND = steps(0, 10, 0.02)
FRAMES = steps(0, 10, 0.04)


def lost(times: list[float], start: float, end: float) -> list[float]:
    return [at for at in times if not start <= at < end]


def doubled(times: list[float], start: float, end: float) -> list[float]:
    piece = [at for at in times if start <= at < end]
    return [at for at in times if at < end] + piece + [at for at in times if at >= end]


def swapped(times: list[float], start: float, middle: float, end: float) -> list[float]:
    first, second = ([at for at in times if a <= at < b] for a, b in ((start, middle), (middle, end)))
    return [at for at in times if at < start] + second + first + [at for at in times if at >= end]


def test_a_still_picture_among_b_frames_passes_where_durations_are_known() -> None:
    """Durations follow the decoding order: the ten seconds are those of another frame than the one that stays."""
    line = Timeline()
    line.open(0, kind="video", timed=True)
    shown = [0, 3, 1, 2, 6, 4, 5, 106, 104, 105, 109, 107, 108]
    for at, (decode, number) in enumerate(zip([*range(7), *range(104, 110)], shown, strict=True)):
        line.add(0, decode=decode / 10 - 0.2, start=number / 10, duration=9.8 if at == 6 else 0.1)
    assert line.gaps() == []


def test_a_still_picture_of_video_alone_passes_where_nothing_was_taken_out_of_the_file() -> None:
    frames = [*steps(0, 6, 0.1), *steps(16, 24, 0.1)]
    for sealed, problems in ((True, 0), (False, 1)):
        line = Timeline(sealed=sealed)
        line.open(0, kind="video", timed=False)
        for at in frames:
            line.add(0, decode=at, start=at, duration=0.1)
        assert len(line.gaps()) == problems


def test_a_gap_in_sound_and_picture_is_one_although_nothing_was_taken_out_of_the_file() -> None:
    line = Timeline(sealed=True)
    for number, kind in ((0, "video"), (1, "audio")):
        line.open(number, kind=kind, timed=False)
        for at in [*steps(0, 6, 0.1), *steps(16, 24, 0.1)]:
            line.add(number, decode=at, start=at, duration=0.1)
    assert len(line.gaps()) == 1


@pytest.mark.parametrize(
    "line",
    [
        timeline(FRAMES, SOUND),
        timeline(FRAMES),
        timeline((), SOUND),
        timeline([0], SOUND),
        timeline(steps(0, 10, 1), SOUND),
        timeline(steps(0, 10, 1)),
        timeline(steps(0, 30, 5)),
        timeline([0, 1, 2, 7, 8, 12]),
        timeline(steps(0, 10, 1), each=1, timed=True),
        timeline(steps(0, 5, 0.04), steps(5, 10, 0.02)),
        timeline(steps(5, 10, 0.04), steps(0, 5, 0.02)),
        timeline(lost(FRAMES, 3, 8), SOUND),
        timeline(FRAMES, lost(SOUND, 3, 8)),
        timeline(FRAMES, lost(SOUND, 3, 3.4)),
        timeline([at + 3 * (at // 1) for at in steps(0, 5, 0.04)]),
    ],
    ids=[
        "both", "video", "audio", "one picture", "a picture a second", "the same without sound", "one in five seconds",
        "slides", "slides with durations", "in turn", "sound first", "a still in between", "a mute in between",
        "0.4 s without sound", "a screen that seldom changes",
    ],
)  # fmt: skip
def test_a_whole_time_line_passes(line: Timeline) -> None:
    assert line.jumps() + line.gaps() == []


@pytest.mark.parametrize(
    "line",
    [
        timeline(lost(FRAMES, 4, 5), lost(SOUND, 4, 5)),
        timeline(lost(FRAMES, 4, 5)),
        timeline((), lost(SOUND, 4, 5)),
        timeline([0], lost(SOUND, 4, 5)),
        timeline(lost(steps(0, 10, 1), 4, 6), each=1, timed=True),
        timeline(lost(lost(lost(FRAMES, 2, 3), 5, 6), 8, 9)),
    ],
    ids=["both", "video", "audio", "still picture", "slides with durations", "three of them"],
)
def test_a_lost_piece_is_a_gap(line: Timeline) -> None:
    assert line.jumps() == []
    assert "a piece is missing" in line.gaps()[0]


@pytest.mark.parametrize(
    "line",
    [
        timeline(doubled(FRAMES, 4, 5), doubled(SOUND, 4, 5)),
        timeline(doubled(FRAMES, 4, 5)),
        timeline((), doubled(SOUND, 4, 5)),
        timeline(swapped(FRAMES, 4, 5, 6), swapped(SOUND, 4, 5, 6)),
        timeline((), swapped(SOUND, 4, 5, 6)),
        timeline(swapped(steps(0, 10, 1), 4, 5, 6)),
    ],
    ids=["doubled", "doubled video", "doubled audio", "swapped", "swapped audio", "swapped slides"],
)
def test_a_doubled_or_swapped_piece_jumps_back(line: Timeline) -> None:
    assert "jumps back" in line.jumps()[0]


def test_pictures_shown_in_another_order_than_decoded_are_no_jump() -> None:
    line = Timeline()
    line.open(0, kind="video", timed=True)
    for number, shown in enumerate([0, 4, 2, 1, 3, 8, 6, 5, 7]):
        line.add(0, decode=float(number - 2), start=float(shown), duration=1.0)
    assert line.jumps() + line.gaps() == []


def test_a_message_names_the_largest_gap_and_how_many_more() -> None:
    (problem,) = timeline((), lost(lost(SOUND, 2, 3), 5, 7)).gaps()
    assert problem == "nothing plays from 5.00 s to 7.00 s (and in 1 more places): a piece is missing"


# --- length -----------------------------------------------------------------------------------------------------------


def length(line: Timeline, expected: float | None, header: float | None = None, *, from_zero: bool = False) -> bool:
    return not line.length(expected=expected, header=header, from_zero=from_zero)


@given(st.floats(0.5, 20_000), st.sampled_from([math.floor, math.ceil, round]), st.floats(0, 0.2))
def test_a_length_rounded_in_any_way_passes_and_so_does_one_to_the_start_of_the_last_block(
    seconds: float, rounded: object, block: float
) -> None:
    line = timeline((), (0, seconds - 0.02))
    assert length(line, max(0, rounded(seconds + block)))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("expected", "passes"),
    [(10, True), (9, True), (11, True), (8.7, False), (11.3, False), (20, False), (None, True), (0, True), (-1, True)],
)
def test_it_plays_as_long_as_the_api_says_and_a_length_of_nothing_is_unknown(
    expected: float | None, passes: bool
) -> None:
    assert length(timeline(FRAMES, SOUND), expected) is passes


@pytest.mark.parametrize(("expected", "passes"), [(305, True), (295, True), (307, False), (293, False), (300.0, True)])
def test_a_longer_one_within_two_percent(expected: float, passes: bool) -> None:
    assert length(timeline((), steps(0, 300, 0.02)), expected) is passes


@pytest.mark.parametrize(("expected", "passes"), [(3609, True), (3591, True), (3611, False), (3589, False)])
def test_an_hour_within_ten_seconds(expected: float, passes: bool) -> None:
    assert length(timeline((), [0, 3599.98]), expected) is passes


def test_the_last_slide_stays_for_as_long_as_the_others() -> None:
    slides = timeline(steps(0, 20, 5))
    assert [length(slides, seconds) for seconds in (15, 20, 21, 22)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("start", "expected", "from_zero", "passes"),
    [(40, 10, False, True), (40, 50, False, False), (40, 50, True, True), (40, 10, True, True), (5, 30, True, False)],
)
def test_time_before_the_first_packet_counts_only_where_a_player_shows_it(
    start: float, expected: float, from_zero: bool, passes: bool
) -> None:
    line = timeline([at + start for at in FRAMES], [at + start for at in SOUND])
    assert length(line, expected, from_zero=from_zero) is passes


@pytest.mark.parametrize(
    ("header", "expected", "passes"),
    [(10, None, True), (40, None, False), (40, 10, True), (3600, 10, True), (40, 40, False), (1, None, True)],
)
def test_a_header_that_claims_too_much_counts_only_where_the_api_knows_no_length(
    header: float, expected: float | None, passes: bool
) -> None:
    assert length(timeline(FRAMES, SOUND), expected, header) is passes


def test_what_an_edit_list_hides_is_not_counted() -> None:
    line = Timeline()
    line.open(0, kind="video", timed=True)
    for number in range(-3, 10):
        line.add(0, decode=float(number), start=float(number), duration=1.0, shown=number >= 0)
    assert (line.start, line.end, line.gaps()) == (0.0, 10.0, [])


# --- coverage ---------------------------------------------------------------------------------------------------------

STRETCH = st.tuples(st.integers(0, 400), st.integers(0, 30)).map(lambda pair: (pair[0] / 10, sum(pair) / 10))


@given(st.lists(STRETCH, max_size=30), st.randoms())
def test_gaps_do_not_depend_on_the_order_of_packets(stretches: list[tuple[float, float]], chance: object) -> None:
    shuffled = list(stretches)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = Coverage(), Coverage()
    for start, end in stretches:
        first.add(start, end)
    for start, end in shuffled:
        second.add(start, end)
    assert first.gaps() == second.gaps() == expected_gaps(stretches)


def expected_gaps(stretches: list[tuple[float, float]]) -> list[tuple[float, float]]:
    gaps, until = [], None
    for start, end in sorted(stretches):
        if until is not None and start > until + MAX_GAP:
            gaps.append((until, start))
        until = end if until is None else max(until, end)
    return gaps
