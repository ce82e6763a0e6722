"""A run's nets as `.keras` files, and another run that starts from them."""

import keras
import numpy as np
import pytest

from rocket_tf import train
from rocket_tf.data.images import named as images
from rocket_tf.errors import ConfigError
from rocket_tf.runs.building import build_nets
from rocket_tf.runs.exports import export_run
from rocket_tf.runs.finished import restore
from tests.small_runs import card_of, quick_runs, small_config

pytestmark = pytest.mark.usefixtures("few_test_digits")


@pytest.mark.slow
@pytest.mark.parametrize(
    "method, roles",
    [("rocket", ["light", "booster"]), ("booster", None)],
)
def test_they_are_proved_and_used(method, roles, tmp_path):
    roles = roles or ["booster"]
    run, test = tmp_path / "run", images.load("digits").test
    with quick_runs():
        config = small_config(method=method, epochs=1)
        summary = train.train_and_evaluate(config, run, verbose=False)
    exports = list(export_run(run, ["keras"], tmp_path / "out"))
    assert [export.path.name for export in exports] == [f"{role}.keras" for role in roles]
    model, _, _ = restore(run)
    trained = {"light": model.light, "booster": model.booster or model.light}
    for role, export in zip(roles, exports, strict=True):
        assert export.test_error == pytest.approx(summary[role]["test_error"], abs=1e-3)
        net = keras.models.load_model(export.path)
        x = test.inputs[:5].astype(np.float32)
        np.testing.assert_allclose(net(x), trained[role](x), rtol=1e-5, atol=1e-5)
        config = small_config(
            light_depth=16,
            booster_depth=40,
            booster_weights=str(export.path),
            branch_layer=next(layer.name for layer in net.layers if "add" in layer.name),
        )
        _, booster = build_nets(config, card_of(config))
        np.testing.assert_allclose(booster(x), trained[role](x), rtol=1e-5, atol=1e-5)


def test_a_booster_alone_has_no_light_net_to_serve(tmp_path):
    with quick_runs():
        train.train_and_evaluate(small_config(method="booster", epochs=1), tmp_path, verbose=False)
    with pytest.raises(ConfigError, match="trained no light net, only a booster; --formats=keras"):
        list(export_run(tmp_path, ["keras", "savedmodel"]))
