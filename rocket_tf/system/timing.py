"""Measures how long functions take.

They are timed in turn, so that disturbances of the machine affect all equally.
"""

import random
import statistics
import time

_BLOCKS, _ROUNDS_A_BLOCK = 20, 10


def duration(seconds):
    """Formats a duration in words.

    Example:
        >>> duration(89), duration(150), duration(6000)
        ('89 s', '2 min', '1 h 40 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class Turns:
    """Takes and times turns in rounds; in a round, every function has one turn.

    Args:
        takes: dict from names to functions without arguments that take a turn and return its
            seconds (`timed`), or a list of seconds if a turn has several calls.
        tell: called with lines about the progress.

    Attributes:
        seconds: dict from names to the seconds of all measured turns.

    Example:
        >>> turns = Turns({"sort": timed(lambda: sorted([2, 1])), "sum": timed(lambda: sum([2]))})
        >>> turns.warm_up(1)
        >>> for done in range(3):
        ...     turns.take(done, 3)
        >>> {name: len(seconds) for name, seconds in turns.seconds.items()}
        {'sort': 3, 'sum': 3}
    """

    def __init__(self, takes, tell=lambda line: None):
        self.seconds = {name: [] for name in takes}
        self._takes = takes
        self._tell = tell
        self._order = random.Random(0)

    def warm_up(self, rounds):
        """Takes turns of each function that do not count."""
        for name, take in self._takes.items():
            self._tell(f"warming up {name}")
            for _ in range(rounds):
                take()

    def take(self, done, rounds):
        """Takes one round, the next after those done."""
        self._tell(f"round {done + 1} of {rounds}")
        # Each round has its own order, so that none always follows the same one.
        for name in self._order.sample(list(self._takes), len(self._takes)):
            seconds = self._takes[name]()
            self.seconds[name] += seconds if isinstance(seconds, list) else [seconds]


def timed(call):
    """A function that makes a call and returns the seconds that it took."""

    def take():
        began = time.perf_counter()
        call()
        return time.perf_counter() - began

    return take


def ratio(first, second):
    """The time of a call divided by that of another: median over blocks of ratios of medians.

    Args:
        first: function without arguments.
        second: another.

    Example:
        >>> ratio(lambda: sum(range(9)), lambda: sum(range(9999))) > 0
        True
    """
    turns = Turns({"first": timed(first), "second": timed(second)})
    rounds = (_BLOCKS + 1) * _ROUNDS_A_BLOCK
    for done in range(rounds):
        turns.take(done, rounds)
    ratios = []
    for start in range(_ROUNDS_A_BLOCK, rounds, _ROUNDS_A_BLOCK):  # the first block warms up
        block = slice(start, start + _ROUNDS_A_BLOCK)
        medians = {
            name: statistics.median(seconds[block]) for name, seconds in turns.seconds.items()
        }
        ratios.append(medians["first"] / medians["second"])
    return statistics.median(ratios)
