"""The nets that are benchmarked in PyTorch are the same as those in Keras."""

import keras
import numpy as np
import pytest

from rocket_tf import RocketModel
from rocket_tf.benchmarks.settings import Settings
from rocket_tf.core.graph import leaf_layers
from rocket_tf.networks import wide_resnet_pair
from rocket_tf.optimizers.sgd import SGDWithL2
from tests.nets import CROSS_ENTROPY

torch = pytest.importorskip("torch")

from rocket_tf.benchmarks import torch_steps  # noqa: E402 - needs torch
from rocket_tf.benchmarks.torch_nets import RocketNets  # noqa: E402

SETTINGS = Settings(batch_size=6, light_depth=10, booster_depth=16)
DEPTHS = SETTINGS.light_depth, SETTINGS.booster_depth


@pytest.fixture
def pair():
    """The rocket in Keras, and in PyTorch with the same weights."""
    rocket = RocketModel(*wide_resnet_pair(*DEPTHS, seed=0))
    rocket.compile(optimizer=SGDWithL2(), loss=CROSS_ENTROPY)
    nets = RocketNets(*DEPTHS)
    with torch.no_grad():
        weights = rocket_weights(rocket)
        for name, tensors in tensors_by_layer(nets).items():
            for tensor, weight in zip(tensors, weights[name], strict=True):
                tensor.copy_(torch.from_numpy(weight))
    return rocket, nets


def tensors_by_layer(nets):
    """The tensors of each layer, in the order and with the axes of Keras's weights."""
    tensors = {}
    for name, module in nets.by_name.items():
        if isinstance(module, torch.nn.Conv2d):
            tensors[name] = [module.weight.permute(2, 3, 1, 0)]
        elif isinstance(module, torch.nn.Linear):
            tensors[name] = [module.weight.T, module.bias]
        else:
            running = [module.running_mean, module.running_var]
            tensors[name] = [module.weight, module.bias, *running]
    return tensors


def rocket_weights(rocket):
    return {layer.name: layer.get_weights() for layer in leaf_layers(rocket) if layer.weights}


def test_the_same_layers_and_parameters(pair):
    rocket, nets = pair
    assert set(nets.by_name) == set(rocket_weights(rocket))
    in_torch = sum(parameter.numel() for parameter in nets.parameters())
    assert in_torch == sum(np.prod(variable.shape) for variable in rocket.trainable_variables)


def test_full_size_has_as_many_parameters():
    nets = RocketNets(16, 40)
    rocket = RocketModel(*wide_resnet_pair(16, 40))
    in_torch = sum(parameter.numel() for parameter in nets.parameters())
    assert in_torch == sum(np.prod(variable.shape) for variable in rocket.trainable_variables)


@pytest.mark.parametrize("training", [True, False])
def test_the_same_logits_and_loss(pair, training):
    rocket, nets = pair
    nets.train(training)
    images, labels = SETTINGS.random_batch()
    expected = rocket(images, training=training)
    with torch.no_grad():
        light, booster = nets(torch.from_numpy(images))
        loss = torch_steps.objective(light, booster, torch.from_numpy(labels))
    np.testing.assert_allclose(light, expected["light"], atol=1e-4)
    np.testing.assert_allclose(booster, expected["booster"], atol=1e-4)
    terms = rocket.objective_terms(images, labels, expected)
    value = sum(weight * float(term) for weight, term in terms.values())
    np.testing.assert_allclose(float(loss), value, rtol=1e-4)


def test_the_same_weights_after_training_steps(pair):
    """Gradients, the block of the hint's, momentum, L2 and batch statistics in one."""
    rocket, nets = pair
    images, labels = SETTINGS.random_batch()
    rocket.optimizer.learning_rate = 0.01
    optimizer = torch_steps.make_optimizer(nets)
    optimizer.param_groups[0]["lr"] = 0.01
    for _ in range(2):
        rocket.train_on_batch(images, labels)
        torch_steps.train_step(nets, optimizer, *map(torch.from_numpy, (images, labels)))
    expected = rocket_weights(rocket)
    for name, tensors in tensors_by_layer(nets).items():
        for tensor, weight in zip(tensors, expected[name], strict=True):
            np.testing.assert_allclose(tensor.detach(), weight, atol=1e-4, err_msg=name)


def test_autocast_step_is_near_the_float32_one():
    one, two = (torch_steps.training_step(SETTINGS, autocast) for autocast in (False, True))
    np.testing.assert_allclose(one(), two(), rtol=0.05)


def test_tensors_keep_their_channels_last():
    nets = RocketNets(*DEPTHS)
    assert nets.booster.blocks[-1].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    images, _ = SETTINGS.random_batch()
    low = nets.stem(torch.from_numpy(images).float().permute(0, 3, 1, 2))
    assert low.is_contiguous(memory_format=torch.channels_last)
    assert keras.config.image_data_format() == "channels_last"
