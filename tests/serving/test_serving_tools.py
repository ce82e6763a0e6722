"""tools.export, predict, serve_check and latency on a trained run; parity of the formats."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from rocket_tf import export_light
from rocket_tf.commands import export, latency, predict, serve_check
from rocket_tf.data.images import named as images
from rocket_tf.runs.finished import restore
from rocket_tf.serving import converters, prediction, runtimes
from rocket_tf.system import files
from rocket_tf.train import train_and_evaluate
from tests.small_runs import few_digits, quick_runs, small_config

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(runtimes.missing("ai_edge_litert", "tf2onnx", "onnxruntime", "openvino")),
        reason="needs the extras formats and openvino, which requirements-dev.txt brings",
    ),
]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run on all digits that is long enough to classify most of them correctly."""
    workdir = tmp_path_factory.mktemp("runs") / "digits"
    config = small_config(train_examples=0, epochs=6, evaluate_every_epochs=6)
    train_and_evaluate(config, workdir, verbose=False)
    return workdir


@pytest.fixture(scope="module")
def model(workdir):
    """The run's model, which no test changes."""
    return restore(workdir)[0]


@pytest.fixture(scope="module")
def digits():
    return images.load("digits")


@pytest.fixture(scope="module")
def exports(workdir, tmp_path_factory):
    """A folder with all formats, exported by the command."""
    output = tmp_path_factory.mktemp("exports")
    arguments = [f"--workdir={workdir}", f"--output={output}"]
    assert export.main([*arguments, "--formats=savedmodel,litert,onnx"]) == 0
    return output


def paths(exports):
    return {
        "tensorflow": exports / "light" / "1",
        "litert": exports / "litert" / "1" / "light.tflite",
        "onnxruntime": exports / "onnx" / "1" / "light.onnx",
        "openvino": exports / "onnx" / "1" / "light.onnx",
    }


@pytest.mark.parametrize("runtime", ["tensorflow", "litert", "onnxruntime", "openvino"])
def test_every_runtime_computes_what_the_model_computes(model, exports, digits, runtime):
    run = runtimes.load(paths(exports)[runtime], threads=1, runtime=runtime)
    assert run.inputs == {"images": ("uint8", (None, 8, 8, 1))}
    for count in (1, 3, 8):
        outputs = run({"images": digits.test.inputs[:count]})
        logits = model.predict(digits.test.inputs[:count], verbose=0)
        np.testing.assert_allclose(outputs["logits"], logits, rtol=0, atol=1e-5)
        np.testing.assert_allclose(
            outputs["probabilities"], tf.nn.softmax(logits), rtol=0, atol=1e-5
        )
        np.testing.assert_array_equal(outputs["classes"], logits.argmax(-1))


def test_logits_alone(exports, digits):
    for runtime in ("tensorflow", "onnxruntime", "openvino"):
        run = runtimes.load(paths(exports)[runtime], 1, runtime, logits_alone=True)
        assert list(run({"images": digits.test.inputs[:1]})) == ["logits"]


def test_int8_has_nearly_the_error_of_float(exports, digits):
    errors = {}
    for name in ("light.tflite", "light_int8.tflite"):
        path = exports / "litert" / "1" / name
        classes = runtimes.load(path)({"images": digits.test.inputs})["classes"]
        errors[name] = 100 * np.mean(classes != digits.test.labels)
    assert errors["light.tflite"] < 20  # with a larger error, half a point would mean little
    assert abs(errors["light_int8.tflite"] - errors["light.tflite"]) <= 0.5
    sizes = [(exports / "litert" / "1" / name).stat().st_size for name in errors]
    assert sizes[1] < 0.4 * sizes[0]


def test_export_reports_error_and_provenance(workdir, tmp_path, capsys):
    assert export.main([f"--workdir={workdir}", f"--output={tmp_path}", "--optimize"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "SavedModel" in line]
    summary = json.loads((workdir / "summary.json").read_text())
    assert f"{summary['light']['test_error']:.2f} %" in line
    assert str(tmp_path / "light" / "1") in line
    found = json.loads((tmp_path / "light" / "1" / "assets.extra" / "provenance.json").read_text())
    assert found["optimization"]["folded_batch_normalizations"] == 3
    assert found["checkpoint"] == "checkpoints/epoch-6" and found["epoch"] == 6
    assert (workdir / "checkpoints" / "epoch-6.index").exists()
    assert found["config"] == json.loads((workdir / "config.json").read_text())
    assert found["test_error"]["light"] == summary["light"]["test_error"]
    assert found["data"] == {"dataset": "digits", "train_examples": 1000, "test_examples": 797}


def test_every_format_has_labels_and_provenance(exports):
    for kind in ("litert", "onnx"):
        folder = exports / kind / "1"
        assert (folder / "labels.txt").read_text().split() == list("0123456789")
        assert json.loads((folder / "provenance.json").read_text())["config"]["dataset"] == "digits"
        card = (folder / "model_card.md").read_text()
        assert card.count("| `light") == {"litert": 2, "onnx": 1}[kind] and "`hint_loss`" in card


def test_a_savedmodel_that_computes_something_else_is_not_kept(
    workdir, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("rocket_tf.runs.exports.allowed_difference", lambda net: 1e-12)
    assert export.main([f"--workdir={workdir}", f"--output={tmp_path}"]) == 1
    assert "SavedModel, float32 does not compute" in capsys.readouterr().err
    assert list((tmp_path / "light").iterdir()) == []


def test_precision_and_calibration_have_effects(workdir, tmp_path, capsys):
    arguments = [f"--workdir={workdir}", f"--output={tmp_path}"]
    assert export.main([*arguments, "--precision=mixed_bfloat16"]) == 0
    path = tmp_path / "light" / "1" / "assets.extra" / "provenance.json"
    assert "bfloat16" in json.loads(path.read_text())["net"]["compute_dtypes"]
    assert "SavedModel, mixed_bfloat16" in capsys.readouterr().out
    contents = []
    for number in (1, 100):
        calibration = f"--calibration_examples={number}"
        assert export.main([*arguments, "--formats=litert", calibration]) == 0
        newest = files.newest_version(tmp_path / "litert")
        contents.append((newest / "light_int8.tflite").read_bytes())
    assert contents[0] != contents[1]


def test_a_full_disk_leaves_nothing(workdir, tmp_path):
    """The command runs in a process whose files cannot grow beyond 60 kB."""
    script = """
import resource, signal, sys
from tools import export
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
sys.exit(export.main(sys.argv[1:]))
"""
    arguments = [f"--workdir={workdir}", f"--output={tmp_path}", "--formats=litert"]
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith("export: ")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_format_that_computes_something_else_is_not_kept(workdir, tmp_path, monkeypatch, capsys):
    light = restore(workdir)[0].light
    light.get_layer("light_logits").bias.assign_add(np.full(10, 0.01, np.float32))
    wrong = converters.to_onnx(light)
    monkeypatch.setattr(converters, "to_onnx", lambda net, **task: wrong)
    arguments = [f"--workdir={workdir}", f"--output={tmp_path}", "--formats=onnx"]
    assert export.main(arguments) == 1
    assert "ONNX does not compute what the model computes" in capsys.readouterr().err
    assert list((tmp_path / "onnx").iterdir()) == []


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--formats=savedmodel,tflite"], "--formats: got 'tflite', expected some of savedmodel"),
        (["--calibration_examples=0"], "--calibration_examples: got 0"),
        (["--precision=float8"], "config.precision: got 'float8', expected one of float32"),
        (["--output=nets[1]"], "--output: got 'nets[1]', expected a path without [ ]"),
    ],
)
def test_mistakes_in_the_arguments_of_export(workdir, tmp_path, capsys, arguments, message):
    arguments = [f"--workdir={workdir}", f"--output={tmp_path / 'out'}", *arguments]
    assert export.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("export: ") and message in line
    assert not (tmp_path / "out").exists()


def test_export_without_an_extra_says_how_to_get_it(workdir, monkeypatch, capsys):
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda name: None)
    assert export.main([f"--workdir={workdir}", "--formats=litert"]) == 2
    assert "litert needs ai_edge_litert, not installed here; pip install" in capsys.readouterr().err


def test_export_of_a_missing_run_and_to_a_place_that_is_not_a_folder(workdir, tmp_path, capsys):
    assert export.main([f"--workdir={tmp_path}"]) == 2
    assert "holds no run" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert export.main([f"--workdir={workdir}", f"--output={tmp_path / 'file'}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "file") in line


@pytest.fixture(scope="module")
def pictures(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "more").mkdir()
    for index, image in enumerate(digits.test.inputs[:5]):
        Image.fromarray(image[..., 0]).save(folder / "more" / f"{index}.png")
    large = Image.fromarray(digits.test.inputs[0, ..., 0]).convert("RGB").resize((80, 80))
    large.save(folder / "large.jpg", quality=95)
    return folder


@pytest.mark.parametrize("runtime", ["tensorflow", "litert", "onnxruntime"])
def test_predict(model, exports, digits, pictures, capsys, runtime):
    assert predict.main([str(paths(exports)[runtime]), str(pictures), "--format=jsonl"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    logits = model.predict(digits.test.inputs[:5], verbose=0)
    found = {line["file"]: line["classes"][0] for line in lines}
    for index, classes in enumerate(tf.nn.softmax(logits).numpy()):
        answer = found[str(pictures / "more" / f"{index}.png")]
        assert answer["class"] == str(classes.argmax())
        assert answer["probability"] == pytest.approx(classes.max(), abs=1e-5)
    # This is nearly the same image, in another size and other colours.
    assert found[str(pictures / "large.jpg")]["class"] == str(logits[0].argmax())


def test_deep_and_transparent_images_are_read_alike(exports, digits, tmp_path, capsys):
    image = digits.test.inputs[0, ..., 0]
    Image.fromarray(image.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(np.stack([image] * 3 + [0 * image], -1)).save(tmp_path / "transparent.png")
    found = {}
    for runtime in ("tensorflow", "litert"):
        assert predict.main([str(paths(exports)[runtime]), str(tmp_path), "--format=jsonl"]) == 0
        found[runtime] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for first, second in zip(*found.values(), strict=True):
        assert first["classes"][0]["class"] == second["classes"][0]["class"]
        assert first["classes"][0]["probability"] == pytest.approx(
            second["classes"][0]["probability"], abs=0.02
        )


@pytest.mark.parametrize("runtime", ["tensorflow", "litert", "onnxruntime"])
def test_only_decompression_bombs_and_pipes_are_refused(
    exports, pictures, tmp_path, capsys, runtime, monkeypatch
):
    monkeypatch.setattr(prediction.image_files, "MOST_PIXELS", 80 * 80)
    shutil.copy(pictures / "large.jpg", tmp_path / "a.jpg")
    Image.new("L", (1601, 4)).save(tmp_path / "b.png")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "c.png")  # Pillow itself refuses it
    shutil.copy(pictures / "more" / "1.png", tmp_path / "d.png")
    os.mkfifo(tmp_path / "e.png")
    names = [str(path) for path in sorted(tmp_path.iterdir())]
    assert predict.main([str(paths(exports)[runtime]), *names, "--format=jsonl"]) == 1
    answered = capsys.readouterr()
    found = [json.loads(line)["file"] for line in answered.out.splitlines()]
    assert found == [names[0], names[3]]
    lines = answered.err.splitlines()
    assert "1601 by 4 pixels, expected at most 6400" in lines[0]
    assert "c.png" in lines[1] and "pixels" in lines[1]
    assert "e.png: is not a regular file" in lines[2] and len(lines) == 3


def test_predict_accepts_the_files_that_training_reads_and_writes_csv(
    exports, digits, tmp_path, capsys
):
    image = Image.fromarray(digits.test.inputs[0, ..., 0])
    for name in ("a/1.png", "a/2.bmp", "a/3.tif", "a/4.gif", "b/5.WEBP", "._6.png", ".c/7.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        image.convert("RGB").save(
            tmp_path / name, **({"lossless": True} if name.endswith("WEBP") else {})
        )
    (tmp_path / "a" / "notes.txt").write_text("")
    assert predict.main([str(exports / "light"), str(tmp_path), "--format=csv", "--top=2"]) == 0
    answered = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(answered.out)))
    taken = [str(tmp_path / name) for name in ("a/1.png", "a/2.bmp", "a/3.tif", "a/4.gif")]
    taken.append(str(tmp_path / "b/5.WEBP"))
    assert [row["file"] for row in rows] == [name for name in taken for _ in range(2)]
    assert [row["rank"] for row in rows] == ["1", "2"] * 5
    for rank in (0, 1):  # all files contain the same image
        assert len({row["class"] for row in rows[rank::2]}) == 1
        shares = [float(row["probability"]) for row in rows[rank::2]]
        np.testing.assert_allclose(shares, shares[0], atol=2e-3)
    assert [line.rpartition("/")[2] for line in answered.err.splitlines()] == [
        "notes.txt: skipped, its name is not that of an image",
        "predict: hidden files skipped, as in training: 1",
    ]


def test_labels_that_are_not_utf8(exports, pictures, tmp_path, capsys):
    shutil.copytree(exports / "light" / "1", tmp_path / "1")
    (tmp_path / "1" / "assets" / "labels.txt").write_bytes(b"cat\n\xff\n")
    assert predict.main([str(tmp_path), str(pictures)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "labels.txt: is not UTF-8" in line


def test_predict_computes_in_batches(exports, pictures, capsys, monkeypatch):
    batches = []
    ask = prediction.Classifier.__call__

    def count(self, paths):
        batches.append(len(paths))
        return ask(self, paths)

    monkeypatch.setattr(prediction.Classifier, "__call__", count)
    assert predict.main([str(exports / "light"), str(pictures), "--batch_size=4"]) == 0
    assert batches == [4, 2]


def test_predict_refuses_labels_that_do_not_fit(exports, pictures, tmp_path, capsys):
    shutil.copytree(exports / "light" / "1", tmp_path / "1")
    (tmp_path / "1" / "assets" / "labels.txt").write_text("cat\ndog\n")
    assert predict.main([str(tmp_path), str(pictures)]) == 2
    assert "names 2 classes, but the export has 10" in capsys.readouterr().err


def test_an_export_with_a_fixed_batch_is_not_reported_as_bad_images(pictures, tmp_path, capsys):
    images = keras.Input(batch_shape=(4, 8, 8, 1), name="images")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(images))
    version = export_light(keras.Model(images, keras.layers.Dense(3)(x)), tmp_path)
    assert predict.main([str(tmp_path), str(pictures)]) == 2
    assert "takes only batches of 4" in capsys.readouterr().err
    assert serve_check.main([str(version)]) == 0
    assert "of 4 examples agree row by row" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_files_that_no_runtime_can_load(pictures, tmp_path, capsys, suffix, content):
    path = tmp_path / f"light{suffix}"
    path.write_bytes(content)
    assert predict.main([str(path), str(pictures)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"predict: {path}: ") and "cannot load it" in line


def test_predict_prints_the_best_classes_in_a_table(exports, pictures, capsys):
    image = str(pictures / "more" / "0.png")
    assert predict.main([str(exports / "light"), image, "--top=3"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    path, *words = line.split()
    shares = [float(word) for word in words[1::3]]
    assert path == image and shares == sorted(shares, reverse=True) and len(shares) == 3


@pytest.mark.parametrize("runtime", ["tensorflow", "litert"])
def test_predict_names_files_that_are_not_images_and_continues(
    exports, pictures, tmp_path, capsys, runtime
):
    shutil.copytree(pictures / "more", tmp_path / "images")
    (tmp_path / "images" / "2.png").write_bytes(b"no image")
    assert predict.main([str(paths(exports)[runtime]), str(tmp_path / "images")]) == 1
    output = capsys.readouterr()
    assert len(output.out.splitlines()) == 4
    (line,) = output.err.splitlines()
    assert (
        line == f"predict: {tmp_path / 'images' / '2.png'}: cannot be read as a PNG or JPEG image"
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nowhere", "{pictures}"], "nowhere: does not exist; expected an export"),
        (["{pictures}", "{pictures}"], "holds neither a saved_model.pb nor versions"),
        (["{pictures}/large.jpg", "{pictures}"], "that is another kind of file"),
        (["{exports}/light", "nowhere.png"], "nowhere.png: does not exist"),
        (["{exports}/light", "{exports}/onnx"], "has no images; expected files ending in .jpg"),
        (["{exports}/litert", "{pictures}"], "holds several exports (light.tflite, light_int8"),
        (["{exports}/light", "{pictures}", "--top=0"], "--top: got 0"),
    ],
)
def test_mistakes_in_the_arguments_of_predict(exports, pictures, capsys, arguments, message):
    arguments = [text.format(exports=exports, pictures=pictures) for text in arguments]
    assert predict.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("predict: ") and message in line


def test_serve_check_proves_the_export_of_a_run(workdir):
    """The command checks everything up to the variables without importing tensorflow."""
    result = subprocess.run(
        [sys.executable, "-m", "tools.serve_check", str(workdir / "light")],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    passed = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("ok ")]
    assert passed == [
        "files",
        "loader",
        "signatures",
        "batches",
        "agreement",
        "labels",
        "variables",
        "warm-up",
        "checkpoint",
    ]
    assert "without importing tensorflow" in result.stdout
    assert "each once" in result.stdout and "3 requests replayed" in result.stdout
    assert f"the checkpoint of {workdir.resolve()}" in result.stdout


def cut_the_variables(version):
    (data,) = (version / "variables").glob("*.data*")
    data.write_bytes(data.read_bytes()[:-5000])


def lose_the_index(version):
    (version / "variables" / "variables.index").unlink()


def empty_the_labels(version):
    (version / "assets" / "labels.txt").write_text("")


def damage_the_warm_up(version):
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    path.write_bytes(path.read_bytes()[:-3])


def lose_the_warm_up(version):
    (version / "assets.extra" / "tf_serving_warmup_requests").unlink()


def lose_the_labels(version):
    (version / "assets" / "labels.txt").unlink()


def leave_out_labels(version):
    (version / "assets" / "labels.txt").write_text("0\n1\n")


def flip_a_weight(version):
    (data,) = (version / "variables").glob("*.data*")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)


def damage_the_provenance(version):
    (version / "assets.extra" / "provenance.json").write_text("{bad")


def claim_other_parameter_counts(version):
    path = version / "assets.extra" / "provenance.json"
    found = json.loads(path.read_text())
    found["net"]["parameters"] += 1
    path.write_text(json.dumps(found))


@pytest.mark.parametrize(
    "damage, message",
    [
        (cut_the_variables, "failed: loader: TensorFlow's C++ loader refuses it"),
        (lose_the_index, "failed: files: there is no variables/variables.index"),
        (empty_the_labels, "is empty"),
        (damage_the_warm_up, "failed: warm-up:"),
        (claim_other_parameter_counts, "failed: variables:"),
        (lose_the_warm_up, "failed: warm-up: there is no"),
        (lose_the_labels, "failed: labels: there is no"),
        (leave_out_labels, "failed: labels:"),
        (flip_a_weight, "failed: loader:"),
        (damage_the_provenance, "failed: variables: JSONDecodeError"),
    ],
)
def test_serve_check_names_what_is_wrong(exports, tmp_path, capsys, damage, message):
    version = tmp_path / "1"
    shutil.copytree(exports / "light" / "1", version)
    damage(version)
    assert serve_check.main([str(version)]) == 1
    output = capsys.readouterr()
    (line,) = output.err.splitlines()
    assert line.startswith("serve_check: ") and message in line
    assert "All checks passed" not in output.out


def test_serve_check_of_a_folder_that_is_not_an_export(tmp_path, capsys):
    assert serve_check.main([str(tmp_path)]) == 2
    assert "holds neither a saved_model.pb nor versions" in capsys.readouterr().err


def test_serve_check_of_a_net_with_several_inputs(tmp_path, workdir, capsys):
    inputs = {name: keras.Input((2,), name=name) for name in ("user", "item")}
    joined = keras.layers.Concatenate()(list(inputs.values()))
    export_light(keras.Model(inputs, keras.layers.Dense(1)(joined)), tmp_path)
    assert serve_check.main([str(tmp_path)]) == 0
    assert "5 parameters, each once" in capsys.readouterr().out
    assert serve_check.main([str(tmp_path), f"--workdir={workdir}"]) == 1
    assert "failed: checkpoint: the net in" in capsys.readouterr().err


def test_serve_check_finds_another_checkpoint(exports, tmp_path, capsys):
    other = tmp_path / "other"
    with quick_runs(), few_digits():
        train_and_evaluate(small_config(seed=1, epochs=1), other, verbose=False)
    assert serve_check.main([str(exports / "light"), f"--workdir={other}"]) == 1
    assert "failed: checkpoint: logits differ" in capsys.readouterr().err


def test_latency(workdir, tmp_path):
    output = tmp_path / "latency"
    arguments = ["--workdir", str(workdir), "--rounds=1", "--runtimes=tensorflow,litert"]
    assert latency.main([*arguments, f"--output={output}"]) == 0
    result = json.loads(output.with_suffix(".json").read_text())
    rows = {
        (row["runtime"], row["threads"], row["batch"], row["net"]): row for row in result["rows"]
    }
    nets = {
        "tensorflow": ("light", "booster", "optimized", "plain"),
        "litert": ("light", "booster"),
    }
    assert set(rows) == {
        (runtime, threads, batch, net)
        for runtime, names in nets.items()
        for net in names
        for threads in (1, 2)
        for batch in (1, 8, 64)
    }
    for (_, _, batch, _), row in rows.items():
        assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
        # The rate is at least what the slowest call allows.
        assert row["examples_per_second"] * row["p99_ms"] > 0.9 * 1000 * batch / row["calls"]
    sizes = result["nets"]["bytes"]["savedmodel"]
    ratios = result["ratios"]
    assert ratios["SavedModel ÷ plain model.export(), size"] == round(
        sizes["light"] / sizes["plain"], 4
    )
    light, booster = (rows["litert", 1, 1, net]["p50_ms"] for net in ("light", "booster"))
    assert ratios["light ÷ booster, litert, batch 1, 1 thread"] == pytest.approx(
        light / booster, abs=1e-3
    )
    summary = json.loads((workdir / "summary.json").read_text())
    assert result["test_errors"]["light"]["mean"] == summary["light"]["test_error"]
    assert Image.open(output.with_suffix(".png")).size[0] > 500


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--runtimes=tensorrt"], "--runtimes: got 'tensorrt'"),
        (["--rounds=0"], "--rounds: got 0"),
        (["--rates", "10", "0"], "--rates: got [10.0, 0.0], expected numbers above 0"),
        (["--clients=0"], "--clients: got 0, expected a number from 1 to 64"),
        (["--seconds=61"], "--seconds: got 61.0, expected a number above 0, up to 60"),
        (["--light_alone", "{workdir}"], "holds a run of method rocket"),
    ],
)
def test_mistakes_in_the_arguments_of_latency(workdir, tmp_path, capsys, arguments, message):
    arguments = [text.format(workdir=workdir) for text in arguments]
    given = ["--workdir", str(workdir), f"--output={tmp_path / 'latency'}", *arguments]
    assert latency.main(given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("latency: ") and message in line
    assert list(tmp_path.iterdir()) == []
