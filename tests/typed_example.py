"""The public interface as users call it; only a type checker reads this file."""

from pathlib import Path
from typing import assert_type

import keras

import rocket_tf
from rocket_tf import Hint, RocketModel, networks, optimizers, train
from rocket_tf.analysis.ownership import Ownership
from rocket_tf.config import bundled
from rocket_tf.data import click_dataset, image_dataset, open_data
from rocket_tf.data.interface import DataSet
from rocket_tf.networks import Feature


def pairs() -> RocketModel:
    light, booster = networks.wide_resnet_pair(16, 40, layout="interval", pixel_mean=(1.0, 2, 3))
    networks.backbone_pair("MobileNetV3Small", "EfficientNetB0", 5, (64, 64, 3))
    networks.branch(booster, "low", head=keras.layers.Dense(10))
    assert_type(networks.group_outputs(light), list[str])
    item = Feature("item", "category", dtype="int64", vocabulary=(1, 2, 3))
    assert_type(item.padding, str | int | float)
    networks.click_pair([item], light_tower=[20, 8], logits=1, seed=0)
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 1000)
    hints = [
        Hint("logits_mse", weight=0.03),
        Hint("kd", weight=schedule, follows="teacher", temperature=4),
        Hint(keras.losses.MeanSquaredError(), layers={"light_low": "booster_low"}),
    ]
    hints[0].weight = 0.5
    assert_type(hints[1].temperature, float | None)
    RocketModel(light, booster, hint="kd", hint_weight=1, temperature=2)
    return RocketModel(light, booster, hint=hints, teacher=booster, name="rocket")


def training(rocket: RocketModel) -> None:
    tables, rest = optimizers.SparseAdagrad(0.05), optimizers.SGDWithL2(0.1, l2=5e-4)
    rocket.compile(
        optimizers.SplitOptimizer(tables, rest, global_clipnorm=1),
        loss=rocket_tf.SmoothedCrossEntropy(0.1),
        loss_weights={"light": 0.5},
        metrics=["accuracy", rocket_tf.ExactAUC(), rocket_tf.GroupAUC(group_by="user")],
    )
    rocket.fit(image_dataset("flowers", batch_size=32, flip=True), epochs=2)
    rocket.fit(click_dataset(Path("logs"), batch_size=250, category_columns=("user", "item")))
    rocket.save(Path("rocket.keras"))
    assert_type(rocket_tf.GroupAUC().result(), float)
    assert_type(rocket_tf.BinnedAUC().largest_error, float | None)


def results(rocket: RocketModel) -> Path:
    owned = rocket_tf.ownership(rocket)
    assert_type(owned, Ownership)
    assert_type(owned.multiply_adds["light"], int | None)
    flow = rocket_tf.gradient_flow(rocket, [[0.0]], [0])
    assert_type(flow["hint_loss"]["shared"], float | None)
    names: tuple[str, ...] = rocket_tf.backbone_names.BACKBONES
    print(names)
    return rocket_tf.export_light(
        rocket, "serving/digits", class_names=["a", "b"], task="regression"
    )


def run() -> float:
    data = open_data({"dataset": "digits"})
    assert_type(data, DataSet)
    summary = train.train_and_evaluate(bundled.load("digits"), "runs/digits", data=data)
    error: float = summary["light"]["test_error"]
    return error


def mistakes(light: keras.Model, rocket: RocketModel) -> None:
    """Each line is an error to a type checker, which also reports comments that are not needed."""
    RocketModel(light, student=light)  # type: ignore[call-arg]
    Hint("kd", follows="student")  # type: ignore[arg-type]
    networks.wide_resnet_pair(layout="top")  # type: ignore[arg-type]
    networks.click_pair(["user"])  # type: ignore[list-item]
    rocket_tf.export_light(rocket, 3)  # type: ignore[arg-type]
    rocket_tf.export_light(rocket, "serving", task="classes")  # type: ignore[arg-type]
    click_dataset("logs")  # type: ignore[call-arg]
    rocket_tf.student  # type: ignore[attr-defined]  # noqa: B018
