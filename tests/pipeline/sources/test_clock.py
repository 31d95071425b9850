"""Ages of frames, from a driver's timestamps and from the times of a stream."""

from __future__ import annotations

import time

import pytest

from edgessd.pipeline.sources.clock import StreamClock, age_by_clock, moment


def test_a_driver_s_timestamp_gives_the_age() -> None:
    stamp = time.clock_gettime(time.CLOCK_MONOTONIC) - 0.25
    assert age_by_clock(stamp) == pytest.approx(0.25, abs=0.05)
    boot = time.clock_gettime(time.CLOCK_BOOTTIME) - 0.5
    assert age_by_clock(boot, time.CLOCK_BOOTTIME) == pytest.approx(0.5, abs=0.05)


# The last one is the time of day in 2027, which no monotonic clock shows.
@pytest.mark.parametrize("stamp", [0.0, -1.0, 1e12, 1.8e9])
def test_a_timestamp_of_another_clock_gives_no_age(stamp: float) -> None:
    assert age_by_clock(stamp) == 0


def test_a_moment_is_set_back_on_both_clocks() -> None:
    at = moment(3.0)
    assert time.time() - at.timestamp == pytest.approx(3, abs=0.1)
    assert time.perf_counter() - at.captured_at == pytest.approx(3, abs=0.1)


def test_frames_that_pile_up_grow_old() -> None:
    clock = StreamClock()
    # 10 FPS by the stream's own time; each is decoded 20 ms later than the one before.
    ages = [clock.age(0.1 * n, 100 + 0.12 * n) for n in range(50)]
    assert ages[0] == 0
    assert ages[-1] == pytest.approx(49 * 0.02, abs=0.01)


def test_the_frame_with_the_shortest_delay_sets_the_offset() -> None:
    clock = StreamClock()
    arrivals = [(0.0, 50.3), (0.1, 50.15), (0.2, 50.35), (0.3, 50.35)]
    ages = [clock.age(position, now) for position, now in arrivals]
    assert ages == pytest.approx([0, 0, 0.1, 0], abs=1e-3)


def test_a_camera_s_slow_clock_is_no_delay() -> None:
    clock = StreamClock()
    # One hour at 50 parts per million.
    ages = [clock.age(float(n), 10 + n * 1.00005) for n in range(3600)]
    assert max(ages) < 0.01


def test_a_stream_that_restarts_has_no_delay() -> None:
    clock = StreamClock()
    assert clock.age(1000.0, 20.0) == 0
    assert clock.age(0.0, 20.1) == 0
    assert clock.age(0.1, 20.4) == pytest.approx(0.2, abs=1e-3)


def test_a_frame_held_until_the_next_begins_is_older_by_that_time() -> None:
    clock = StreamClock()
    # Frames at irregular times, each 30 ms under way, returned when the next one arrives.
    times = [0.0, 0.1, 0.12, 0.3, 0.4, 0.5, 0.53, 0.7]
    arrivals = [100 + at + 0.03 for at in times]
    ages = [
        clock.age(at, handed, arrived=arrived)
        for at, arrived, handed in zip(times, arrivals, arrivals[1:], strict=False)
    ]
    assert ages == pytest.approx([0.1, 0.02, 0.18, 0.1, 0.1, 0.03, 0.17], abs=1e-3)
