"""Files of earlier versions are read and give the same answers."""

from pathlib import Path

import keras
import numpy as np
import pytest

import rocket_tf

WRITTEN = Path(__file__).parent / "compatibility"


@pytest.fixture(params=["0.2.0"])
def written(request):
    return WRITTEN / request.param


class TestKerasFile:
    def test_it_gives_the_same_answers(self, written):
        rocket = keras.models.load_model(written / "rocket.keras")
        answers = np.load(written / "answers.npz")
        assert isinstance(rocket, rocket_tf.RocketModel)
        logits = rocket(answers["x"])
        for net in ("light", "booster"):
            np.testing.assert_allclose(logits[net], answers[net], rtol=1e-6, atol=1e-6)
        logs = rocket.evaluate(answers["x"], answers["y"], return_dict=True, verbose=0)
        assert sorted(logs) == list(answers["names"])
        values = [logs[name] for name in answers["names"]]
        np.testing.assert_allclose(values, answers["values"], rtol=1e-6)

    def test_its_nets_share_layers_and_its_teacher_is_frozen(self, written):
        rocket = keras.models.load_model(written / "rocket.keras")
        shared = rocket_tf.ownership(rocket).layers["shared"]
        assert shared == ["low"]
        assert rocket.teacher.trainable_variables == []
        assert [hint.name for hint in rocket.hints] == ["hint_loss", "teacher_loss"]

    def test_it_trains_on_and_is_saved_again(self, written, tmp_path):
        rocket = keras.models.load_model(written / "rocket.keras")
        answers = np.load(written / "answers.npz")
        steps = int(rocket.optimizer.iterations)
        assert steps == 6
        rocket.fit(answers["x"], answers["y"], batch_size=8, verbose=0)
        assert int(rocket.optimizer.iterations) == 9
        rocket.save(tmp_path / "again.keras")
        again = keras.models.load_model(tmp_path / "again.keras")
        np.testing.assert_array_equal(again.predict(answers["x"]), rocket.predict(answers["x"]))
