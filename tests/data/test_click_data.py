"""Clicks in memory: histories, columns, and the simulated log with known true probabilities."""

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from rocket_tf.data.clicks import simulated as simulated_clicks
from rocket_tf.data.clicks.examples import Columns, histories, split
from rocket_tf.data.clicks.simulated import simulate


def histories_by_loops(users, items, clicked, times, length, padding):
    result = []
    for user, time in zip(users, times, strict=True):
        before = [
            place
            for place in range(len(users))
            if users[place] == user and times[place] < time and clicked[place]
        ]
        before.sort(key=lambda place: (times[place], place), reverse=True)
        chosen = [items[place] for place in before[:length]]
        result.append(chosen + [padding] * (length - len(chosen)))
    return result


class TestHistories:
    @pytest.mark.parametrize("length", [1, 3, 50])
    @pytest.mark.parametrize("moments", [5, 1000], ids=["many ties", "few ties"])
    def test_equal_a_double_loop(self, length, moments):
        random = np.random.default_rng(length)
        users, items = random.integers(0, 7, 200), random.integers(0, 30, 200)
        clicked, times = random.integers(0, 2, 200), random.integers(0, moments, 200)
        result = histories(users, items, clicked, times, length)
        assert result.dtype == np.int64
        expected = histories_by_loops(users, items, clicked, times, length, -1)
        np.testing.assert_array_equal(result, expected)

    def test_of_strings_are_padded_with_empty_ones(self):
        users, items = np.array(list("abaab"), object), np.array(list("vwxyz"), object)
        result = histories(users, items, [1, 1, 0, 1, 1], [1, 2, 3, 4, 5], 2)
        assert result.dtype == object
        assert result.tolist() == [["", ""], ["", ""], ["v", ""], ["v", ""], ["w", ""]]

    def test_leave_out_clicks_at_the_same_time(self):
        result = histories([1, 1, 1], [7, 8, 9], [1, 1, 1], [4.0, 4.0, 5.0], 3)
        assert result.tolist() == [[-1, -1, -1], [-1, -1, -1], [8, 7, -1]]

    def test_without_clicks_or_examples_consist_of_padding(self):
        assert histories([1, 1], [7, 8], [0, 0], [1, 2], 2).tolist() == [[-1, -1], [-1, -1]]
        none = np.array([], np.int64)
        assert histories(none, none, none, none, 2).shape == (0, 2)


class TestColumns:
    def test_each_name_is_listed_once(self):
        columns = Columns(user="u", categories=("u", "item"), numbers=("price",), history="history")
        assert columns.all == ("click", "u", "item", "price", "history")
        assert Columns(categories=("item",)).all == ("click", "user", "item")

    def test_a_history_of_a_column_that_is_not_a_category_is_refused(self):
        with pytest.raises(ValueError, match=r"'seen' holds values of 'item', .*\('user',\)"):
            Columns(categories=("user",), history="seen")


@pytest.mark.parametrize("fraction, tests", [(0.3, 3), (0.0, 1), (1.0, 9)])
def test_a_split_keeps_an_example_in_each_part(fraction, tests):
    data = split({"item": np.arange(10)}, np.arange(10) % 2, fraction)
    np.testing.assert_array_equal(data.test.inputs["item"], np.arange(10 - tests, 10))
    np.testing.assert_array_equal(data.train.labels, np.arange(10 - tests) % 2)


@pytest.fixture(scope="module")
def simulated():
    return simulate()


class TestSimulatedClicks:
    def test_has_the_columns_of_its_card(self, simulated):
        data, truth = simulated
        columns = simulated_clicks.COLUMNS
        for part, examples in ((data.train, 180_000), (data.test, 20_000)):
            assert part.labels.shape == (examples,) and part.labels.dtype == np.int64
            assert {columns.label, *part.inputs} == set(columns.all)
            for name in columns.categories:
                dtype = object if name == "device" else np.int64
                assert part.inputs[name].dtype == dtype, name
            assert part.inputs["price"].dtype == np.float32
            assert part.inputs["history"].shape == (examples, columns.history_length)
        assert truth.shape == (20_000,) and truth.dtype == np.float64

    def test_a_fifth_are_clicks_and_popular_items_are_shown_often(self, simulated):
        data, _ = simulated
        assert set(np.unique(data.train.labels)) == {0, 1}
        assert data.train.labels.mean() == pytest.approx(0.2, abs=0.01)
        shown = np.sort(np.bincount(data.train.inputs["item"], minlength=1000))[::-1]
        assert shown[:100].sum() > 0.4 * shown.sum()
        # Most users have enough examples to learn from.
        assert np.median(np.bincount(data.train.inputs["user"], minlength=2000)) > 60

    def test_true_probabilities_are_calibrated_and_hard_to_beat(self, simulated):
        data, truth = simulated
        labels = data.test.labels
        order = np.argsort(truth)
        for part in np.array_split(order, 10):
            noise = np.sqrt(np.sum(truth[part] * (1 - truth[part]))) / len(part)
            assert abs(labels[part].mean() - truth[part].mean()) < 4 * noise
        assert roc_auc_score(labels, truth) > 0.7
        entropy = -np.mean(truth * np.log(truth) + (1 - truth) * np.log(1 - truth))
        assert log_loss(labels, truth) == pytest.approx(entropy, abs=0.01)

    def test_histories_are_earlier_clicks_of_the_same_user_in_chronological_order(self):
        data, _ = simulate(examples=600, users=9, items=40, history_length=5)
        inputs = {
            name: np.concatenate([data.train.inputs[name], data.test.inputs[name]])
            for name in data.train.inputs
        }
        labels = np.concatenate([data.train.labels, data.test.labels])
        # These are equal only if the examples are in chronological order.
        expected = histories_by_loops(inputs["user"], inputs["item"], labels, range(600), 5, -1)
        np.testing.assert_array_equal(inputs["history"], expected)
        assert (np.diff(inputs["hour"]) % 24 <= 12).mean() > 0.99

    def test_the_dwell_time_changes_no_other_column(self):
        sizes = {"examples": 3000, "users": 40, "items": 30, "seed": 5}
        (plain, truth), *others = (
            simulate(**sizes, dwell=dwell) for dwell in ("off", "noise", "weak", "strong")
        )
        log_odds = np.log(truth / (1 - truth))
        likeness = []
        for data, other_truth in others:
            np.testing.assert_array_equal(other_truth, truth)
            for part, own in ((plain.train, data.train), (plain.test, data.test)):
                np.testing.assert_array_equal(own.labels, part.labels)
                assert set(own.inputs) == {*part.inputs, "dwell"}
                for name, array in part.inputs.items():
                    np.testing.assert_array_equal(own.inputs[name], array)
            dwell = np.concatenate([data.train.inputs["dwell"], data.test.inputs["dwell"]])
            assert dwell.dtype == np.float32 and dwell.shape == (3000,) and dwell.min() >= 0
            assert dwell.mean() == pytest.approx(30, abs=1) and dwell.std() == pytest.approx(
                10, 0.1
            )
            likeness.append(np.corrcoef(data.test.inputs["dwell"], log_odds)[0, 1])
        # s / √(s² + 1) for s = 0, 0.5 and 2.
        np.testing.assert_allclose(likeness, [0, 0.447, 0.894], atol=0.15)

    def test_purchases_change_no_other_column(self):
        sizes = {"examples": 3000, "users": 50, "items": 40, "seed": 3}
        (plain, truth), (data, same) = simulate(**sizes), simulate(**sizes, bought=True)
        np.testing.assert_array_equal(truth, same)
        for part, own in ((plain.train, data.train), (plain.test, data.test)):
            for name, array in part.inputs.items():
                np.testing.assert_array_equal(array, own.inputs[name])
            assert own.labels.shape == (len(part.labels), 2) and own.labels.dtype == np.int64
            np.testing.assert_array_equal(own.labels[:, 0], part.labels)
            assert not (own.labels[:, 1] > part.labels).any()
        bought = data.test.labels[:, 1]
        assert 0.1 < bought.sum() / data.test.labels[:, 0].sum() < 0.9
        assert truth[bought == 1].mean() > truth[data.test.labels[:, 0] == 1].mean()

    def test_the_seed_determines_everything(self):
        (first, truth), (again, _), (other, _) = (
            simulate(examples=500, users=20, items=30, seed=seed) for seed in (3, 3, 4)
        )
        for name, array in first.test.inputs.items():
            np.testing.assert_array_equal(array, again.test.inputs[name])
            assert (array != other.test.inputs[name]).any()
        np.testing.assert_array_equal(first.train.labels, again.train.labels)
        assert (first.train.labels != other.train.labels).any()
        assert len(truth) == len(first.test.labels) == 50

    def test_sizes_are_those_requested(self):
        data, truth = simulate(examples=400, users=3, items=2, history_length=4, test_fraction=0.25)
        assert len(truth) == len(data.test.labels) == 100
        assert data.train.inputs["user"].max() == 2 and data.train.inputs["item"].max() == 1
        assert data.train.inputs["history"].shape == (300, 4)
