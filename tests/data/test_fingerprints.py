"""Checksums of the user's own data. Runs record them, so their values must never change."""

import zlib

import numpy as np
import pytest

from rocket_tf.data import fingerprints, own_data
from rocket_tf.data.catalog import DATASETS
from rocket_tf.data.fingerprints import Checksum


@pytest.mark.parametrize("lengths", [(0, 0), (0, 5), (5, 0), (1, 1), (3, 70_001), (70_001, 3)])
def test_joined_checksums_equal_those_of_all_bytes(lengths):
    first, second = (np.random.default_rng(n).bytes(n) for n in lengths)
    joined = Checksum.of(first) + Checksum.of(second)
    assert joined == Checksum(zlib.crc32(first + second), sum(lengths))
    three = joined + Checksum.of(first)
    assert three == Checksum.of(first) + (Checksum.of(second) + Checksum.of(first))
    assert three.text == f"{zlib.crc32(first + second + first):08x}"


class TestOfOwnData:
    @staticmethod
    def part(rows, seed):
        random = np.random.default_rng(seed)
        inputs = {
            "user": random.integers(0, 9, rows),
            "query": np.array([f"é{n}" for n in range(rows)], object),
            # Every second column, which is not contiguous in memory.
            "history": random.integers(0, 9, (rows, 6))[:, ::2],
            "price": random.normal(size=rows).astype(np.float32),
        }
        return inputs, random.integers(0, 2, rows)

    @staticmethod
    def content(part):
        """All bytes of a part: the inputs in the order of their names, then the labels."""
        inputs, labels = part
        texts = "\0".join(inputs["query"]).encode()
        history, price, user = (inputs[name].tobytes() for name in ("history", "price", "user"))
        return history + price + texts + user + labels.tobytes()

    @staticmethod
    def own(train, test, name):
        return own_data.OwnData(DATASETS[name], train, test, ["0", "1"])

    @pytest.mark.parametrize("test_rows", [20, 0])
    def test_of_clicks(self, test_rows):
        train, test = self.part(50, 0), self.part(test_rows, 1)
        found = self.own(train, test, "simulated_clicks").fingerprint
        both, alone = (zlib.crc32(b"".join(map(self.content, p))) for p in ([train, test], [test]))
        assert found["checksum"] == f"{both:08x}"
        assert found["test_checksum"] == f"{alone:08x}"

    def test_of_images(self):
        train, test = ((np.full((n, 2, 2, 1), n, np.uint8), np.arange(n)) for n in (5, 3))
        content = b"".join(array.tobytes() for part in (train, test) for array in part)
        found = self.own(train, test, "digits").fingerprint
        assert found["checksum"] == f"{zlib.crc32(content):08x}" and "test_checksum" not in found

    def test_each_part_is_read_once(self, monkeypatch):
        lengths, of = [], Checksum.of
        monkeypatch.setattr(
            fingerprints.Checksum,
            "of",
            lambda content: lengths.append(memoryview(content).nbytes) or of(content),
        )
        train, test = self.part(50, 0), self.part(20, 1)
        assert self.own(train, test, "simulated_clicks").fingerprint["test_checksum"]
        assert sum(lengths) == len(self.content(train)) + len(self.content(test))
