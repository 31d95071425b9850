"""Signals that end a training between two steps."""

from __future__ import annotations

import signal

import pytest

from edgessd.train.interrupt import stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_requests_a_stop_and_the_handlers_come_back(number: int) -> None:
    before = signal.getsignal(number)
    with stop_on_signals() as request:
        assert not request
        signal.raise_signal(number)
        assert request
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_interrupts_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_on_signals():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_repeated_sigterm_still_lets_the_step_end() -> None:
    with stop_on_signals() as request:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert request
