"""Click-through nets: values against NumPy, sharing, padding and unknown values."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import rocket_tf
from rocket_tf import RocketModel
from rocket_tf.analysis.costs import count_multiply_adds
from rocket_tf.networks import Feature
from rocket_tf.networks.click_towers import click_pair

CITIES = ("Oslo", "Bergen", "Bodø")
FEATURES = (
    Feature("user", "category", buckets=7, dimension=3),
    Feature("city", "category", vocabulary=CITIES, dimension=2),
    Feature("item", "category", dtype="int64", vocabulary=(30, 10, 20), dimension=4),
    Feature("shop", "category", dtype="int64", buckets=5, dimension=2),
    Feature("price", "number", mean=5.0, variance=4.0),
    Feature("age", "number"),
    Feature("clicked", "history", dtype="int64", of="item", length=4),
    Feature("visited", "history", of="city", length=3),
)
EXAMPLES = {
    "user": np.array(["anna", "bo", "", "Ω"], object),
    "city": np.array(["Oslo", "Bodø", "Rome", ""], object),
    "item": np.array([10, 20, 99, -1]),
    "shop": np.array([3, -1, 2**62, 0]),
    "price": np.array([5.0, 9.0, -1.0, 0.0], np.float32),
    "age": np.array([0.5, -0.5, 2.0, 0.0], np.float32),
    "clicked": np.array([[10, 20, -1, -1], [-1, -1, -1, -1], [77, 30, 30, 88], [20, -1, -1, -1]]),
    "visited": np.array(
        [["Oslo", "", ""], ["Bergen", "Rome", "Oslo"], ["", "", ""], ["Rome", "Pisa", ""]], object
    ),
}
TEXTS = {"name": "x", "kind": "category", "dtype": "string"}
SMALL = {"light_tower": (5, 3), "booster_tower": (8, 6, 4), "seed": 3}


def as_tensors(examples=EXAMPLES):
    return {name: tf.constant(values) for name, values in examples.items()}


def changed(**values):
    return as_tensors({**EXAMPLES, **{name: np.array(value) for name, value in values.items()}})


def randomize(*nets, seed=0):
    """Replaces all weights and statistics by random numbers, so that none is 0 or 1."""
    random = np.random.default_rng(seed)
    for variable in {id(v): v for net in nets for v in net.variables}.values():
        if "seed_generator" in variable.path:
            continue
        least = 0.5 if "variance" in variable.path else -1.0
        variable.assign(random.uniform(least, 1.5, variable.shape))


def weights(net, name):
    return {
        variable.path.removeprefix(f"{name}/"): np.asarray(variable, np.float64)
        for variable in net.get_layer(name).variables
    }


def ids_of(feature, values):
    """The rows of values in the embedding table; with a vocabulary, they come from plain Python."""
    if feature.vocabulary is None:
        texts = values.astype(str).astype(object)
        return tf.strings.to_hash_bucket_fast(texts, feature.buckets).numpy()
    known = {value: place + 1 for place, value in enumerate(feature.vocabulary)}
    return np.vectorize(lambda value: known.get(value, 0))(values)


def expected_vector(net, owner, features, examples, attention):
    """All features concatenated, in float64."""
    by_name = {feature.name: feature for feature in features}

    def embed(category, values):
        table = weights(net, f"{owner}_{category}_embedding")["embeddings"]
        return table[ids_of(by_name[category], values)]

    vectors = []
    for feature in features:
        values = examples[feature.name]
        if feature.kind == "category":
            vectors.append(embed(feature.name, values))
        elif feature.kind == "number":
            vectors.append((values[:, None] - feature.mean) / feature.variance**0.5)
        else:
            rows = []
            for candidate, sequence in zip(
                embed(feature.of, examples[feature.of]), values, strict=True
            ):
                present = sequence[sequence != feature.padding]
                total = np.zeros_like(candidate)
                for value in embed(feature.of, present) if len(present) else ():
                    weight = 1 / len(present)
                    if attention:
                        unit = weights(net, f"{owner}_{feature.name}_attention")
                        related = [value, candidate, value - candidate, value * candidate]
                        hidden = np.concatenate(related) @ unit["hidden/kernel"]
                        hidden += unit["hidden/bias"]
                        alpha = unit["activation/alpha"][0]
                        hidden = np.where(hidden > 0, hidden, alpha * hidden)
                        weight = hidden @ unit["weight/kernel"][:, 0] + unit["weight/bias"][0]
                    total += weight * value
                rows.append(total)
            vectors.append(np.array(rows))
    return np.concatenate(vectors, axis=1)


def expected_logits(net, role, x, depth):
    """The logits of a tower, in float64."""
    for place in range(depth):
        hidden = weights(net, f"{role}_hidden{place}")
        x = x @ hidden["kernel"] + hidden.get("bias", 0.0)
        if any(layer.name == f"{role}_hidden{place}_norm" for layer in net.layers):
            norm = weights(net, f"{role}_hidden{place}_norm")
            x = (x - norm["moving_mean"]) / np.sqrt(norm["moving_variance"] + 1e-3)
            x = x * norm["gamma"] + norm["beta"]
        x = np.maximum(x, 0)
    last = weights(net, f"{role}_logits")
    return x @ last["kernel"] + last["bias"]


@pytest.mark.parametrize("share", [True, False])
def test_only_the_booster_reads_some_features(share):
    only = ("price", "shop")
    light, booster = click_pair(FEATURES, booster_only=only, share=share, **SMALL)
    randomize(light, booster)
    of_light = [feature for feature in FEATURES if feature.name not in only]
    assert list(light.input) == [feature.name for feature in of_light]
    assert list(booster.input) == [feature.name for feature in FEATURES]
    if share:
        more = [feature for feature in FEATURES if feature.name in only]
        common = expected_vector(light, "shared", of_light, EXAMPLES, False)
        own = expected_vector(booster, "booster", more, EXAMPLES, False)
        vectors = common, np.concatenate([common, own], axis=1)
    else:
        vectors = (
            expected_vector(light, "light", of_light, EXAMPLES, False),
            expected_vector(booster, "booster", FEATURES, EXAMPLES, False),
        )
    for net, role, vector, depth in zip(
        (light, booster), ("light", "booster"), vectors, (2, 3), strict=True
    ):
        inputs = {name: as_tensors()[name] for name in net.input}
        expected = expected_logits(net, role, vector, depth)
        np.testing.assert_allclose(net(inputs), expected, rtol=1e-5, atol=1e-5)
    rocket = RocketModel(light, booster)
    assert set(rocket.booster_only_inputs) == set(only)
    without = {name: own for name, own in EXAMPLES.items() if name not in only}
    np.testing.assert_allclose(
        rocket.predict_on_batch(as_tensors(without)), light(as_tensors(without)), rtol=1e-6
    )


@pytest.mark.parametrize(
    "features, only, message",
    [
        (FEATURES, ("clicked",), "names of features, not histories, among"),
        (FEATURES, ("prize",), "names of features, not histories, among"),
        (FEATURES, "price", "names of features, not histories, among"),
        (FEATURES, ("item",), "The history 'clicked', which both nets read, has values of 'item'"),
        (FEATURES[4:6], ("price", "age"), "must leave the light net a feature"),
    ],
)
def test_invalid_booster_only_features(features, only, message):
    with pytest.raises(ValueError, match=message):
        click_pair(features, booster_only=only, **SMALL)


MISSING = -(2**63)


@pytest.mark.parametrize("attention", [False, True])
def test_missing_values_have_their_own_rows_and_indicators(attention, tmp_path):
    features = [
        dataclasses.replace(feature, missing=True) for feature in FEATURES if feature.name != "age"
    ]
    features.append(Feature("age", "number", "float64", mean=1e9, variance=4.0, missing=True))
    examples = EXAMPLES | {
        "user": np.array(["anna", "bo", "", " "], object),
        "item": np.array([10, -1, 99, MISSING]),
        "shop": np.array([MISSING, -1, 2**62, MISSING]),
        "price": np.array([5.0, 9.0, np.nan, 0.0], np.float32),
        "age": np.array([1e9 + 1, np.nan, 1e9 - 4, 1e9]),
        "clicked": np.array(
            [[10, -1, MISSING, MISSING], [MISSING] * 4, [77, 30, 30, 88], [20, *3 * [MISSING]]]
        ),
    }
    light, booster = click_pair(features, attention=attention, **SMALL)
    randomize(light, booster)
    tables = {
        name: weights(light, f"shared_{name}_embedding")["embeddings"]
        for name in ("user", "city", "item", "shop")
    }
    # Each table has one more row at its end.
    assert {name: len(table) for name, table in tables.items()} == {
        "user": 8,
        "city": 5,
        "item": 5,
        "shop": 6,
    }
    side_by_side = keras.Model(light.input, light.get_layer("shared_features").output)
    vector = np.asarray(side_by_side(as_tensors(examples)), np.float64)
    by_name = {feature.name: feature for feature in features}

    def rows(name, values):
        mark = "" if by_name[name].dtype == "string" else MISSING
        plain = dataclasses.replace(by_name[name], missing=False)
        missing = np.array([str(value).strip() == str(mark) for value in values])
        return tables[name][np.where(missing, len(tables[name]) - 1, ids_of(plain, values))]

    place, expected = 0, {}
    for feature in features:
        own = examples[feature.name]
        if feature.kind == "category":
            expected[feature.name] = rows(feature.name, own)
        elif feature.kind == "number":
            scaled = (own.astype(np.float64) - feature.mean) / feature.variance**0.5
            missing = np.isnan(scaled)
            expected[feature.name] = np.stack([np.where(missing, 0, scaled), missing], axis=1)
        elif not attention:
            means = []
            for values in own:
                there = values[values != by_name[feature.name].padding]
                width = tables[feature.of].shape[1]
                means.append(rows(feature.of, there).mean(0) if len(there) else np.zeros(width))
            expected[feature.name] = np.array(means)
        width = {"price": 2, "age": 2}.get(feature.name) or tables[
            feature.of or feature.name
        ].shape[1]
        if feature.name in expected:
            np.testing.assert_allclose(
                vector[:, place : place + width],
                expected[feature.name],
                rtol=1e-5,
                atol=1e-6,
                err_msg=feature.name,
            )
        place += width
    assert place == vector.shape[1] and np.isfinite(vector).all()

    # The export accepts raw values, and a saved net computes the same.
    version = rocket_tf.export_light(light, tmp_path / "light", examples=examples)
    serve = tf.saved_model.load(str(version)).signatures["serving_default"]
    logits = light(as_tensors(examples))
    np.testing.assert_allclose(
        serve(**as_tensors(examples))["logits"], logits, rtol=1e-5, atol=1e-6
    )
    light.save(tmp_path / "light.keras")
    again = keras.models.load_model(tmp_path / "light.keras")
    np.testing.assert_array_equal(again(as_tensors(examples)), logits)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"missing": 1}, "got missing=1, expected True or False"),
        ({"missing": True, "dtype": "int64"}, "got dtype='int64', expected float32 or float64"),
    ],
)
def test_features_that_cannot_be_missing(changes, message):
    with pytest.raises(ValueError, match=message):
        Feature("price", "number", **changes)


def test_a_history_must_accept_missing_values_if_its_category_does():
    features = [dataclasses.replace(FEATURES[2], missing=True), FEATURES[6]]
    with pytest.raises(ValueError, match="'clicked': got missing=False, expected True, that of"):
        click_pair(features, **SMALL)


def layers_with_variables(net):
    return {layer.name: layer for layer in net.layers if layer.variables}


class TestValues:
    @pytest.mark.parametrize("attention", [False, True])
    @pytest.mark.parametrize("share", [True, False])
    @pytest.mark.parametrize("batch_normalization", [True, False])
    def test_logits_equal_a_computation_in_numpy(self, attention, share, batch_normalization):
        nets = click_pair(
            FEATURES,
            attention=attention,
            share=share,
            booster_batch_normalization=batch_normalization,
            **SMALL,
        )
        randomize(*nets)
        for net, role, depth in zip(nets, ("light", "booster"), (2, 3), strict=True):
            owner = "shared" if share else role
            vector = expected_vector(net, owner, FEATURES, EXAMPLES, attention)
            assert vector.shape == (4, 3 + 2 + 4 + 2 + 1 + 1 + 4 + 2)
            expected = expected_logits(net, role, vector, depth)
            assert np.ptp(expected, axis=0).min() > 0.1
            np.testing.assert_allclose(net(as_tensors()), expected, rtol=1e-4, atol=1e-4)

    def test_a_single_category_is_enough(self):
        light, booster = click_pair([Feature("user", "category", buckets=3)], logits=1, **SMALL)
        assert light({"user": tf.constant(["a", "b"])}).shape == (2, 1)
        assert booster({"user": tf.constant(["a", "b"])}).shape == (2, 1)

    def test_the_multiply_adds_are_the_papers(self):
        features = [Feature(f"f{i}", "category", buckets=5, dimension=16) for i in range(36)]
        light, booster = click_pair(features)
        assert count_multiply_adds(light) == 576 * 200 + 200 * 80 + 80 * 2 == 131_360
        assert count_multiply_adds(booster) == 819_900


class TestUnknownValuesAndPadding:
    def test_all_unknown_values_are_equal(self):
        light, _ = click_pair(FEATURES, **SMALL)
        randomize(light)
        expected = light(changed(city=["Rome"] * 4, item=[99] * 4))
        for city, item in (("", -1), ("oslo", 0), ("Oslo ", -(2**63)), ("[UNK]", 2**63 - 1)):
            np.testing.assert_array_equal(
                light(changed(city=[city] * 4, item=[item] * 4)), expected
            )
        assert np.abs(light(changed(city=["Oslo"] * 4, item=[99] * 4)) - expected).max() > 0.01

    @pytest.mark.parametrize("attention", [False, True])
    @pytest.mark.parametrize("dtype, values", [("string", "abc"), ("int64", (0, 1, 2))])
    def test_padding_differs_from_a_value_in_the_same_bucket(self, attention, dtype, values):
        features = [
            Feature("item", "category", dtype=dtype, buckets=1, dimension=2),
            Feature("clicked", "history", dtype=dtype, of="item", length=3),
        ]
        light, _ = click_pair(features, attention=attention, **SMALL)
        randomize(light)
        read = keras.Model(light.input, light.get_layer("shared_features").output)
        padding = features[1].padding
        one, two, three = values
        rows = read(
            {
                "item": tf.constant([one] * 4),
                "clicked": tf.constant(
                    [
                        [padding] * 3,
                        [one, padding, padding],
                        [padding, two, padding],
                        [one, two, three],
                    ]
                ),
            }
        ).numpy()[:, 2:]
        np.testing.assert_array_equal(rows[0], 0)
        np.testing.assert_array_equal(rows[1], rows[2])
        np.testing.assert_allclose(rows[3], rows[1] * (3 if attention else 1), rtol=1e-5)
        assert np.abs(rows[1]).min() > 0

    @pytest.mark.parametrize("attention", [False, True])
    def test_more_padding_changes_nothing(self, attention):
        nets = [
            click_pair(
                [*FEATURES[:-2], dataclasses.replace(FEATURES[-2], length=length)],
                attention=attention,
                **SMALL,
            )[0]
            for length in (4, 9)
        ]
        for net in nets:
            randomize(net)
        examples = as_tensors({name: EXAMPLES[name] for name in nets[0].input})
        longer = np.full((4, 9), -1)
        longer[:, :4] = EXAMPLES["clicked"]
        np.testing.assert_allclose(
            nets[0](examples),
            nets[1]({**examples, "clicked": tf.constant(longer)}),
            rtol=1e-5,
            atol=1e-6,
        )

    def test_the_mean_does_not_depend_on_the_candidate_and_attention_does(self):
        for attention in (False, True):
            light, _ = click_pair(FEATURES, attention=attention, **SMALL)
            randomize(light)
            read = keras.Model(
                light.input,
                light.get_layer(f"shared_clicked_{'attention' if attention else 'mean'}").output,
            )
            other = read(changed(item=[20, 10, 30, 30]))
            assert (np.abs(read(as_tensors()) - other).max() > 0.01) == attention


class TestSharing:
    @pytest.mark.parametrize("attention", [False, True])
    def test_nets_share_all_below_the_towers(self, attention):
        light, booster = map(
            layers_with_variables, click_pair(FEATURES, attention=attention, **SMALL)
        )
        tables = {f"shared_{name}_embedding" for name in ("user", "city", "item", "shop")}
        units = {f"shared_{name}_attention" for name in ("clicked", "visited") if attention}
        common = {name for name in light if light[name] is booster.get(name)}
        assert common == tables | units
        assert set(light) - common == {"light_hidden0", "light_hidden1", "light_logits"}
        assert set(booster) - common == {
            *(f"booster_hidden{place}{part}" for place in range(3) for part in ("", "_norm")),
            "booster_logits",
        }

    def test_without_sharing_each_net_has_its_own_layers(self):
        light, booster = click_pair(FEATURES, share=False, attention=True, **SMALL)
        assert not {id(v) for v in light.variables} & {id(v) for v in booster.variables}
        for net, owner in ((light, "light"), (booster, "booster")):
            names = {layer.name for layer in net.layers} - set(EXAMPLES)
            assert all(name.startswith(f"{owner}_") for name in names)
            assert f"{owner}_clicked_attention" in names
        assert all(
            mine is theirs for mine, theirs in zip(light.inputs, booster.inputs, strict=True)
        )

    def test_a_rocket_of_the_nets_trains_and_is_saved_and_loaded(self, tmp_path):
        rocket = RocketModel(*click_pair(FEATURES, attention=True, **SMALL))
        rocket.compile(
            optimizer=keras.optimizers.Adam(0.01),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        data = tf.data.Dataset.from_tensor_slices((as_tensors(), [0, 1, 1, 0])).batch(3)
        before = rocket.evaluate(data, verbose=0, return_dict=True)
        table = rocket.light.get_layer("shared_item_embedding").embeddings.numpy()
        rocket.fit(data, epochs=15, verbose=0)
        assert rocket.evaluate(data, verbose=0, return_dict=True)["light_loss"] < (
            0.9 * before["light_loss"]
        )
        # The data has known values, unknown ones and padding, so all rows of the table have moved.
        assert (rocket.light.get_layer("shared_item_embedding").embeddings != table).numpy().all()
        rocket.save(tmp_path / "rocket.keras")
        again = keras.models.load_model(tmp_path / "rocket.keras")
        for net in ("light", "booster"):
            np.testing.assert_array_equal(
                getattr(rocket, net)(as_tensors()), getattr(again, net)(as_tensors())
            )


class TestWhereTheyRun:
    @pytest.mark.parametrize("attention", [False, True])
    def test_saved_and_loaded_nets_compute_the_same(self, tmp_path, attention):
        for net in click_pair(FEATURES, attention=attention, booster_dropout=0.2, **SMALL):
            randomize(net)
            net.save(tmp_path / "net.keras")
            again = keras.models.load_model(tmp_path / "net.keras")
            np.testing.assert_array_equal(again(as_tensors()), net(as_tensors()))
            assert [layer.name for layer in again.layers] == [layer.name for layer in net.layers]

    def test_a_saved_model_takes_raw_values_in_batches_of_any_size(self, tmp_path):
        light, _ = click_pair(FEATURES, attention=True, **SMALL)
        randomize(light)
        light.export(tmp_path / "net", verbose=False)
        served = tf.saved_model.load(tmp_path / "net")
        expected = light(as_tensors()).numpy()
        for count in (1, 4, 0):
            some = {name: values[:count] for name, values in as_tensors().items()}
            np.testing.assert_allclose(served.serve(some), expected[:count], rtol=1e-5, atol=1e-6)

    def test_in_a_tf_function_with_unknown_batch_size(self):
        _, booster = click_pair(FEATURES, attention=True, **SMALL)
        specifications = {
            name: tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)
            for name, tensor in booster.input.items()
        }
        function = tf.function(booster, input_signature=[specifications])
        logits = function(as_tensors())
        np.testing.assert_allclose(logits, booster(as_tensors()), rtol=1e-5, atol=1e-6)
        assert function({name: x[:0] for name, x in as_tensors().items()}).shape == (0, 2)

    @pytest.mark.parametrize("attention", [False, True])
    def test_mixed_precision_gives_float32_logits_near_those_of_float32(self, attention):
        expected = [net(as_tensors()) for net in click_pair(FEATURES, attention=attention, **SMALL)]
        keras.config.set_dtype_policy("mixed_bfloat16")
        nets = click_pair(FEATURES, attention=attention, **SMALL)
        for net, role, logits in zip(nets, ("light", "booster"), expected, strict=True):
            assert net.get_layer(f"{role}_hidden0").compute_dtype == "bfloat16"
            assert net(as_tensors()).dtype == tf.float32
            np.testing.assert_allclose(net(as_tensors()), logits, atol=0.02)

    def test_mixed_precision_keeps_numbers_that_bfloat16_would_round(self):
        keras.config.set_dtype_policy("mixed_bfloat16")
        features = [Feature("year", "number", mean=2020.0, variance=4.0)]
        light, _ = click_pair(features, **SMALL)
        read = keras.Model(light.input, light.get_layer("shared_features").output)
        scaled = read({"year": tf.constant([2019.0, 2021.0, 2022.0])})
        np.testing.assert_array_equal(tf.cast(scaled, tf.float32), [[-0.5], [0.5], [1.0]])


class TestSwitches:
    def test_initial_weights_depend_on_seed_and_layer_name(self):
        first, _ = click_pair(FEATURES, **SMALL)
        again, _ = click_pair(FEATURES, **{**SMALL, "booster_tower": (9,)})
        other, _ = click_pair(FEATURES, **{**SMALL, "seed": 4})
        for mine, same, another in zip(
            first.trainable_variables,
            again.trainable_variables,
            other.trainable_variables,
            strict=True,
        ):
            np.testing.assert_array_equal(mine, same)
            assert "bias" in mine.path or (np.asarray(mine) != np.asarray(another)).all()

    def test_layers_of_one_shape_start_differently(self):
        _, booster = click_pair(FEATURES, booster_tower=(6, 6, 6), light_tower=(6,), seed=1)
        second, third = (booster.get_layer(f"booster_hidden{place}").kernel for place in (1, 2))
        assert (np.asarray(second) != np.asarray(third)).all()

    @pytest.mark.parametrize("logits", [1, 2])
    def test_number_of_logits(self, logits):
        for net in click_pair(FEATURES, logits=logits, **SMALL):
            assert net(as_tensors()).shape == (4, logits)

    def test_several_outputs_are_linear_maps_of_the_same_tower(self):
        nets = click_pair(FEATURES, logits=1, outputs=("click", "bought"), **SMALL)
        randomize(*nets)
        for net, widths in zip(nets, ((5, 3), (8, 6, 4)), strict=True):
            last = net.get_layer(f"{net.name}_hidden{len(widths) - 1}_relu").output
            top = np.float64(keras.Model(net.input, last)(as_tensors()))
            found = net(as_tensors())
            assert set(found) == {"click", "bought"}
            for output, logits in found.items():
                kernel, bias = net.get_layer(f"{net.name}_{output}_logits").get_weights()
                assert kernel.shape == (widths[-1], 1) and logits.shape == (4, 1)
                np.testing.assert_allclose(logits, top @ np.float64(kernel) + bias, rtol=1e-5)

    def test_only_the_booster_has_batch_normalization(self):
        def normalizations(net):
            return [
                layer for layer in net.layers if isinstance(layer, keras.layers.BatchNormalization)
            ]

        for batch_normalization in (True, False):
            light, booster = click_pair(
                FEATURES, booster_batch_normalization=batch_normalization, **SMALL
            )
            assert len(normalizations(booster)) == 3 * batch_normalization
            assert not normalizations(light)
            assert booster.get_layer("booster_hidden0").use_bias != batch_normalization

    def test_dropout_affects_only_the_booster_in_training(self):
        plain = click_pair(FEATURES, **SMALL)
        dropping = click_pair(FEATURES, booster_dropout=0.5, **SMALL)
        for net, other in zip(plain, dropping, strict=True):
            np.testing.assert_array_equal(net(as_tensors()), other(as_tensors()))
        for net in (*plain, *dropping):
            randomize(net)
        x = as_tensors()
        light, booster = (
            np.abs(net(x, training=True) - other(x, training=True)).max()
            for net, other in zip(plain, dropping, strict=True)
        )
        assert light == 0 and booster > 0.01

    def test_towers_have_the_widths_given(self):
        light, booster = click_pair(FEATURES)
        for net, role, widths in (
            (light, "light", (200, 80)),
            (booster, "booster", (720, 360, 240, 180, 90)),
        ):
            assert [
                net.get_layer(f"{role}_hidden{place}").units for place in range(len(widths))
            ] == list(widths)


class TestErrors:
    @pytest.mark.parametrize(
        "arguments, message",
        [
            ({"name": "a/b", "kind": "category"}, r"got name='a/b', expected a letter"),
            ({"name": "prix_é", "kind": "category"}, r"expected a letter.*; rename it"),
            ({"name": "light_x", "kind": "number"}, r"none that begins with .*'light_'"),
            ({"name": "x", "kind": "text"}, r"got kind='text', expected one of \('category'"),
            ({"name": "x", "kind": "category", "dtype": "int32"}, r"got dtype='int32'"),
            ({"name": "x", "kind": "number", "dtype": "string"}, r"got dtype='string'.*float32"),
            ({"name": "x", "kind": "number", "buckets": 5}, r"got buckets=5.*leave it out"),
            ({"name": "x", "kind": "category", "variance": 2.0}, r"belongs to a number"),
            ({"name": "x", "kind": "category", "buckets": 0}, r"got buckets=0, expected a pos"),
            ({"name": "x", "kind": "category", "dimension": 2.5}, r"got dimension=2.5"),
            ({"name": "x", "kind": "category", "vocabulary": ()}, r"one or more strings"),
            ({**TEXTS, "vocabulary": (1, 2)}, r"more strings"),
            (
                {"name": "x", "kind": "category", "dtype": "int64", "vocabulary": ("1",)},
                r"got vocabulary=\('1',\), expected a tuple of one or more integers",
            ),
            ({"name": "x", "kind": "category", "vocabulary": ("a", "b", "a")}, r"repeated \['a'\]"),
            ({"name": "x", "kind": "category", "vocabulary": ("a", "")}, r"no '', which stands"),
            (
                {"name": "x", "kind": "category", "dtype": "int64", "vocabulary": (-1, 2)},
                r"no -1, which stands for no value; take it out",
            ),
            ({"name": "x", "kind": "number", "variance": 0.0}, r"got variance=0.0"),
            ({"name": "x", "kind": "number", "mean": float("nan")}, r"got mean=nan"),
            ({"name": "x", "kind": "history", "length": 3}, r"got of=None, expected the name"),
            ({"name": "x", "kind": "history", "of": "y"}, r"got length=0, expected a positive"),
        ],
    )
    def test_features(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            Feature(**arguments)

    @pytest.mark.parametrize(
        "features, message",
        [
            ((), r"one or more Feature objects. Received: \[\]"),
            (("user",), r"one or more Feature objects. Received: \['user'\]"),
            (FEATURES + FEATURES[:1], r"a name of its own"),
            (FEATURES[4:7], r"'clicked': got of='item', expected one of the categories \[\]"),
            (
                (FEATURES[1], Feature("seen", "history", dtype="int64", of="city", length=2)),
                r"'seen': got dtype='int64', expected 'string', that of 'city'",
            ),
        ],
    )
    def test_features_that_conflict(self, features, message):
        with pytest.raises(ValueError, match=message):
            click_pair(features)

    @pytest.mark.parametrize(
        "arguments, message",
        [
            ({"light_tower": ()}, r"light_tower must be .*Received: light_tower=\(\)"),
            ({"booster_tower": (8, 0)}, r"booster_tower must be .*Received: booster_tower=\(8, 0"),
            ({"booster_tower": 8}, r"booster_tower must be a tuple"),
            ({"logits": 3}, r"logits must be 2 .*Received: logits=3"),
            ({"booster_dropout": 1.0}, r"booster_dropout must be in \[0, 1\)"),
            ({"outputs": "click"}, r"outputs must be different names .*Received: outputs='click'"),
            ({"outputs": ("a", "a")}, r"outputs must be different names"),
            ({"outputs": ("a b",)}, r"outputs must be different names"),
        ],
    )
    def test_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            click_pair(FEATURES, **arguments)

    def test_attention_without_histories(self):
        with pytest.raises(ValueError, match=r"attention=True is for histories"):
            click_pair(FEATURES[:5], attention=True)


class TestFeature:
    def test_dtypes_by_default(self):
        assert Feature("x", "category").dtype == "string"
        assert Feature("x", "number").dtype == "float32"
        assert Feature("x", "history", of="y", length=2).dtype == "string"

    def test_numpys_scalars_become_plain_values(self):
        integers = Feature("x", "category", dtype="int64", vocabulary=list(np.arange(3)))
        assert integers.vocabulary == (0, 1, 2)
        assert {type(value) for value in integers.vocabulary} == {int}
        strings = Feature("x", "category", vocabulary=tuple(np.array(["a", "b"])))
        assert {type(value) for value in strings.vocabulary} == {str}

    def test_a_table_has_one_row_for_all_unknown_values(self):
        assert Feature("x", "category", vocabulary=("a", "b")).table_size == 3
        assert Feature("x", "category", buckets=50).table_size == 50
