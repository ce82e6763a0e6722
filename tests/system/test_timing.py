"""What is timed side by side takes turns."""

import pytest

from rocket_tf.system import timing
from rocket_tf.system.timing import Turns, duration


class Clock:
    """A clock that only calls move."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def call(self, seconds):
        def move():
            self.now += seconds

        return move


def test_everything_takes_one_turn_per_round():
    taken = []

    def step(name):
        def take():
            taken.append(name)
            return float(len(taken))

        return take

    turns = Turns({name: step(name) for name in "abc"})
    turns.warm_up(2)
    assert taken == list("aabbcc")
    orders = set()
    for done in range(6):
        turns.take(done, 6)
        assert sorted(taken[-3:]) == list("abc")
        orders.add(tuple(taken[-3:]))
    assert len(orders) > 1
    for name, times in turns.seconds.items():
        assert [taken[int(time) - 1] for time in times] == [name] * 6


def test_a_turn_of_several_calls_counts_each():
    lines = []
    turns = Turns({"three": lambda: [1.0, 2.0, 3.0], "one": lambda: 4.0}, lines.append)
    for done in range(2):
        turns.take(done, 2)
    assert turns.seconds == {"three": [1.0, 2.0, 3.0] * 2, "one": [4.0] * 2}
    assert lines == ["round 1 of 2", "round 2 of 2"]


def test_a_call_is_timed(monkeypatch):
    clock = Clock(monkeypatch)
    assert timing.timed(clock.call(0.25))() == 0.25


def test_latencies_are_compared_in_turns(monkeypatch):
    clock = Clock(monkeypatch)
    assert timing.ratio(clock.call(1.0), clock.call(2.0)) == 0.5


def test_a_disturbance_that_slows_both_leaves_the_ratio(monkeypatch):
    clock = Clock(monkeypatch)
    calls = []

    def call(seconds):
        def move():
            calls.append(seconds)
            clock.now += seconds * (5 if len(calls) > 200 else 1)

        return move

    assert timing.ratio(call(1.0), call(2.0)) == 0.5


@pytest.mark.parametrize(
    "seconds, words", [(5, "5 s"), (100, "2 min"), (3600, "60 min"), (9000, "2 h 30 min")]
)
def test_duration(seconds, words):
    assert duration(seconds) == words
