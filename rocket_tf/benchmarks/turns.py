"""Kinds of steps that take turns, so that what disturbs the machine disturbs all alike."""

import random
import time


class Turns:
    """Takes and times steps round by round.

    Args:
        steps: dict from kinds to functions without arguments that take a step and return its
            milliseconds (`timed`).
        tell: called with a line about each round.
    """

    def __init__(self, steps, tell):
        self.milliseconds = {name: [] for name in steps}
        self._steps = steps
        self._tell = tell
        self._order = random.Random(0)

    def warm_up(self, rounds):
        """So many rounds that do not count."""
        for name, step in self._steps.items():
            self._tell(f"warming up {name}")
            for _ in range(rounds):
                step()

    def take(self, done, rounds):
        """One round, after so many that are done of so many in all."""
        self._tell(f"round {done + 1} of {rounds}")
        # In an order of its own, so that no kind always follows the same one.
        for name in self._order.sample(list(self._steps), len(self._steps)):
            self.milliseconds[name].append(self._steps[name]())


def timed(step):
    """A function that takes a step and returns how many milliseconds it took."""

    def take():
        began = time.perf_counter()
        step()
        return 1000 * (time.perf_counter() - began)

    return take
