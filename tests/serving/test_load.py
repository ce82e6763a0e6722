"""Requests at a given rate: when each is due, and how latencies are counted."""

import pytest

from rocket_tf.serving.load import ask_at_rate


class Clock:
    """A clock that advances only in `sleep`."""

    def __init__(self):
        self.now = 100.0

    def perf_counter(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def ask(clock, seconds):
    return lambda: clock.sleep(seconds)


def test_a_server_that_keeps_up_has_its_own_latency():
    clock = Clock()
    requests, seconds, latencies = ask_at_rate(ask(clock, 0.03), 4, 1, 2.5, clock=clock)
    assert requests == 10
    assert latencies == pytest.approx([0.03] * 10)
    assert seconds == pytest.approx(9 / 4 + 0.03)


def test_a_server_that_falls_behind_has_growing_latencies_until_the_time_is_up():
    clock = Clock()
    requests, seconds, latencies = ask_at_rate(ask(clock, 0.5), 10, 1, 1.5, clock=clock)
    # Requests are due at 0, 0.1, … and answered at 0.5, 1, …, for at most twice the time.
    assert requests == 15
    assert latencies == pytest.approx([0.5 + 0.4 * place for place in range(6)])
    assert seconds == pytest.approx(3.0)


def test_requests_without_pauses_and_at_most_a_given_number():
    clock = Clock()
    requests, seconds, latencies = ask_at_rate(ask(clock, 0.25), None, 1, 1, clock=clock)
    assert (requests, seconds) == (4, pytest.approx(1.0))
    assert latencies == pytest.approx([0.25] * 4)
    requests, _, latencies = ask_at_rate(ask(clock, 0), None, 1, 1, most=7, clock=clock)
    assert requests == len(latencies) == 7
    requests, _, latencies = ask_at_rate(ask(clock, 0), 50, 1, 1, most=7, clock=clock)
    assert requests == len(latencies) == 7


def test_several_clients_send_each_request_once_and_stop_at_an_error():
    sent = []
    requests, _, latencies = ask_at_rate(
        lambda: sent.append(1), 1e6, clients=5, seconds=30, most=99
    )
    assert requests == len(latencies) == len(sent) == 99

    def fail():
        sent.append(1)
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        ask_at_rate(fail, 1e6, clients=3, seconds=30)
    assert len(sent) <= 99 + 3
