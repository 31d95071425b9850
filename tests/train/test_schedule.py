"""The learning rate rises, then falls to its end."""

from __future__ import annotations

import pytest

from edgessd.train.schedule import Schedule


def test_the_rate_rises_to_its_peak_and_falls_to_its_end():
    schedule = Schedule(warmup_steps=10, final=0.1)
    factors = [schedule.factor(step=step, progress=step / 100) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[:10] == sorted(factors[:10])
    assert factors[9:] == sorted(factors[9:], reverse=True)
    assert schedule.factor(step=50, progress=0.5) == pytest.approx(0.55)
    assert factors[-1] == pytest.approx(0.1)
    assert Schedule(warmup_steps=0, final=0).factor(step=0, progress=0) == 1
