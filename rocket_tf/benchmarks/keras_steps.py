"""Training steps of Keras models, and epochs of the input pipeline."""

import functools
import math
import time

import keras
import tensorflow as tf

from rocket_tf.benchmarks.settings import random_examples
from rocket_tf.core.rocket_model import RocketModel
from rocket_tf.data import ArraySplit, pipeline
from rocket_tf.distribution.strategy import make_strategy
from rocket_tf.networks import wide_resnet_pair
from rocket_tf.optimizers.sgd import SGDWithL2

_LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def training_step(settings, net, policy="float32", normalization="fused", replicas=1):
    """A training step as in `fit`: the compiled train function on an iterator.

    Args:
        settings: a `Settings`.
        net: "light", "booster", "rocket", or "distiller" (`keras.distillation.Distiller` with the
            booster as teacher of the light net).
        policy: Keras's dtype policy.
        normalization: `batch_normalization` of `wide_resnet_pair`.
        replicas: number of logical CPU devices.

    Returns:
        Function without arguments that takes one step and waits for its loss.
    """
    strategy = make_strategy(replicas)
    with strategy.scope():
        model = _compiled_model(settings, net, policy, normalization)
    batches = pipeline.distribute(functools.partial(_batches, settings), strategy)
    model.fit(batches, steps_per_epoch=1, shuffle=False, verbose=0)  # builds the train function
    iterator = iter(batches)
    return lambda: float(model.train_function(iterator)["loss"])


def handwritten_step(settings):
    """A step with the rocket's objective written by hand in a `tf.function`, on the same nets."""
    model = _compiled_model(settings, "rocket")
    optimizer = SGDWithL2()
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            logits = model(x, training=True)
            distance = logits["light"] - tf.stop_gradient(logits["booster"])
            hint = tf.reduce_mean(tf.reduce_sum(distance**2, axis=-1))
            objective = _LOSS(y, logits["light"]) + _LOSS(y, logits["booster"]) + 0.03 * hint
        gradients = tape.gradient(objective, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return objective

    iterator = iter(_batches(settings))
    return lambda: float(step(*next(iterator)))


def rounds_within_fit(settings, warm_up, take_round):
    """Times the steps of `fit`, including its overhead.

    Args:
        settings: a `Settings`.
        warm_up: number of steps that are not counted, before the others.
        take_round: called after each counted step with the number of rounds done.

    Returns:
        List of seconds, one for each of `settings.steps`.
    """
    seconds = []

    class TakeTurns(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.began = time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            float(logs["loss"])
            if batch >= warm_up:
                seconds.append(time.perf_counter() - self.began)
                take_round(batch - warm_up)
            self.began = time.perf_counter()

    _compiled_model(settings, "rocket").fit(
        _batches(settings),
        steps_per_epoch=warm_up + settings.steps,
        callbacks=[TakeTurns()],
        shuffle=False,
        verbose=0,
    )
    return seconds


def input_epoch(settings):
    """An epoch of the input pipeline alone, like that of CIFAR-10: shuffled, mirrored and cropped.

    Returns:
        Function without arguments that takes all batches of the next epoch (`settings.examples`
        images) inside a `tf.function`, like training.
    """
    dataset = ArraySplit(*random_examples(settings.examples)).training_batches(
        settings.batch_size,
        epochs=tf.int64.max,
        seed=0,
        flip=True,
        crop_padding=4,
    )
    iterator = iter(dataset)
    batches = math.ceil(settings.examples / settings.batch_size)

    @tf.function
    def take_epoch():
        for _ in tf.range(batches):
            next(iterator)

    return take_epoch


def _compiled_model(settings, net, policy="float32", normalization="fused"):
    keras.config.set_dtype_policy(policy)
    try:
        light, booster = wide_resnet_pair(
            settings.light_depth,
            settings.booster_depth,
            share=net == "rocket",
            batch_normalization=normalization,
            seed=0,
        )
        if net == "rocket":
            model = RocketModel(light, booster)
        elif net == "distiller":
            # The labels have the same weight as in this project's knowledge distillation.
            model = keras.distillation.Distiller(
                booster,
                light,
                keras.distillation.LogitsDistillation(temperature=4.0),
                student_loss_weight=0.1,
            )
        else:
            model = {"light": light, "booster": booster}[net]
        model.compile(optimizer=SGDWithL2(), loss=_LOSS, metrics=["accuracy"])
    finally:
        keras.config.set_dtype_policy("float32")
    return model


def _batches(settings, **parts):
    """Repeats one batch forever, divided among a worker's replicas."""
    batch = settings.random_batch()
    return ArraySplit(*batch).evaluation_batches(settings.batch_size, **parts).repeat()
