"""Tools: the figures that they write, and what they say to mistakes."""

import contextlib
import io
import json
import shutil

import keras
import numpy as np
import pytest

from rocket_tf import RocketModel, train
from rocket_tf.commands import choose_hint_weight, pictures, report, reproduce
from rocket_tf.errors import NonFiniteLossError
from rocket_tf.runs.folder import RunFolder
from rocket_tf.studies import hint_weights
from tests.nets import CROSS_ENTROPY, examples, linear_pair
from tests.small_runs import SMALL, quick_runs

TINY = [
    f"--set={name}={value}"
    for name, value in {**SMALL, "epochs": 1, "train_examples": 64}.items()
    if name not in ("dataset", "pictures")
]
PNG = b"\x89PNG"

pytestmark = pytest.mark.usefixtures("few_test_digits", "untraced")


def table(folder):
    """Arguments of a table of two runs."""
    return [
        "--table=digits",
        "--seeds=1",
        "--methods=light,rocket",
        f"--runs={folder / 'runs'}",
        f"--output={folder / 'results' / 'digits'}",
        "--note",
        "Tiny.",
        *TINY,
    ]


@pytest.fixture(scope="module")
def trained(few_test_digits, tmp_path_factory):
    """A folder with the runs and the results of a table, and what the command printed."""
    folder, printed = tmp_path_factory.mktemp("table"), io.StringIO()
    with quick_runs(), contextlib.redirect_stdout(printed):
        assert reproduce.main(table(folder)) == 0
    return folder, printed.getvalue()


@pytest.fixture
def runs(trained, tmp_path):
    """A copy of the table's runs; the folders of the runs, by their methods."""
    copy = shutil.copytree(trained[0] / "runs", tmp_path / "runs")
    folders = {path.parent.parent.name: path.parent for path in copy.rglob("config.json")}
    assert set(folders) == {"light", "rocket"}
    return copy, folders


@pytest.mark.slow
class TestReproduce:
    def test_runs_what_is_missing_and_writes_the_table(self, trained, capsys):
        folder, first = trained
        results, arguments = folder / "results", table(folder)
        assert "== run 2 of 2" in first and "| rocket | – |" in first
        written = {path.name for path in results.iterdir()}
        assert written == {f"digits.{suffix}" for suffix in ("json", "md", "png", "html")}
        result = json.loads((results / "digits.json").read_text())
        assert result["note"] == "Tiny."
        assert result["command"].startswith("python -m tools.reproduce --table=digits --seeds=1")
        # Places are as in the reader.
        assert "--runs" not in result["command"] and "Tiny" not in result["command"]
        assert reproduce.main(arguments) == 0
        assert "== run" not in capsys.readouterr().out
        assert json.loads((results / "digits.json").read_text()) == result
        more = [*arguments, "--seeds=2", "--write_only"]
        assert reproduce.main(more) == 0
        assert "== run" not in capsys.readouterr().out
        written = json.loads((results / "digits.json").read_text())
        assert written["rows"][0]["cells"] == result["rows"][0]["cells"]

    @pytest.mark.parametrize(
        "arguments, named",
        [
            (["--table=1", "--rows=top"], "--rows: got 'top', expected some of interval"),
            (["--table=1", "--methods=kl"], "--methods: got 'kl', expected some of light"),
            (["--table=1", "--seeds=0"], "--seeds: got 0"),
            (["--table=1", "--epochs=0"], "config.epochs: got 0"),
            (["--table=1", "--train_examples=60000"], "config.train_examples: got 60000"),
            (["--table=1", "--set=epoch=1"], "config.epoch: no such field"),
            (["--table=2", "--methods=at"], "--methods: got at"),
            (["--table=2", "--set=share=True"], "--set: got share, which the table itself sets"),
            (["--table=1", "--dataset=digits"], "--dataset: got 'digits' with table 1"),
        ],
    )
    def test_mistakes_are_answered_in_one_line_before_any_work(
        self, arguments, named, tmp_path, capsys
    ):
        assert reproduce.main([*arguments, f"--runs={tmp_path / 'runs'}"]) == 2
        error = capsys.readouterr().err
        assert named in error and error.count("\n") == 1
        assert not (tmp_path / "runs").exists()

    def test_a_damaged_run_is_answered_in_one_line(self, runs, tmp_path, capsys):
        runs, folders = runs
        arguments = ["--table=digits", "--seeds=1", "--methods=light", f"--runs={runs}", *TINY]
        assert reproduce.main([*arguments, f"--output={tmp_path / 'v1.2'}"]) == 0
        assert (tmp_path / "v1.2.md").exists()
        (folders["light"] / "summary.json").write_text("{")
        capsys.readouterr()
        assert reproduce.main(arguments) in (1, 2)
        error = capsys.readouterr().err
        assert "is damaged" in error and error.count("\n") == 1

    def test_an_interruption_says_how_to_go_on(self, tmp_path, monkeypatch, capsys):
        def interrupt(*_, **__):
            raise KeyboardInterrupt

        monkeypatch.setattr(reproduce.Reproduction, "complete", interrupt)
        assert reproduce.main(["--table=digits", f"--runs={tmp_path}"]) == 130
        assert "the same command goes on" in capsys.readouterr().err


class TestReport:
    def test_a_run_and_a_table(self, runs):
        runs, folders = runs
        arguments = ["--table=digits", "--seeds=1", "--methods=light", f"--runs={runs}", *TINY]
        assert reproduce.main(arguments) == 0
        assert report.main([f"--workdir={folders['light']}"]) == 0
        assert (folders["light"] / "report.html").exists()
        page = (runs / "table_digits.html").read_text()
        (runs / "table_digits.html").unlink()
        assert report.main([f"--table={runs / 'table_digits.json'}"]) == 0
        again = (runs / "table_digits.html").read_text()
        assert again == page

    @pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"rows": []}', '{"rows": [{}]}'])
    def test_files_without_a_table(self, tmp_path, capsys, content):
        path = tmp_path / "table.json"
        if content is not None:
            path.write_text(content)
        assert report.main([f"--table={path}"]) == 2
        assert "expected a JSON file that tools.reproduce wrote" in capsys.readouterr().err
        assert not path.with_suffix(".html").exists()

    def test_folders_without_a_run(self, tmp_path, capsys):
        assert report.main([f"--workdir={tmp_path}"]) == 2
        assert "holds no run" in capsys.readouterr().err


class TestPictures:
    @pytest.mark.slow
    def test_pictures_of_a_run_are_drawn_again_unchanged(self, runs):
        folder = runs[1]["rocket"]
        drawn = folder / "pictures"
        assert not drawn.exists()
        assert pictures.main(["run", str(folder)]) == 0
        first = {path.name: path.read_bytes() for path in drawn.iterdir()}
        assert set(first) == {"learning_curves.png", "gradient_flow.png", "attention_maps.png"}
        assert pictures.main(["run", str(folder)]) == 0
        assert {path.name: path.read_bytes() for path in drawn.iterdir()} == first

    def test_flow_of_any_saved_rocket(self, tmp_path):
        rocket = RocketModel(*linear_pair())
        rocket.compile("sgd", CROSS_ENTROPY)
        rocket.save(tmp_path / "rocket.keras")
        x, y = examples(4)
        np.savez(tmp_path / "batch.npz", x=x, y=y)
        arguments = [f"--model={tmp_path / 'rocket.keras'}", f"--batch={tmp_path / 'batch.npz'}"]
        assert pictures.main(["flow", *arguments, f"--output={tmp_path / 'flow.png'}"]) == 0
        assert (tmp_path / "flow.png").read_bytes().startswith(PNG)

    def test_flow_of_a_model_with_several_inputs(self, tmp_path):
        inputs = {name: keras.Input((2,), name=name) for name in ("user", "item")}
        low = keras.layers.Concatenate()([inputs["user"], inputs["item"]])
        light, booster = (
            keras.Model(inputs, keras.layers.Dense(3, name=f"{net}_logits")(low), name=net)
            for net in ("light", "booster")
        )
        rocket = RocketModel(light, booster)
        rocket.compile("sgd", CROSS_ENTROPY)
        rocket.save(tmp_path / "rocket.keras")
        values = {"x.user": np.ones((4, 2)), "x.item": np.zeros((4, 2)), "y": np.zeros(4, int)}
        np.savez(tmp_path / "batch.npz", **values)
        arguments = [f"--model={tmp_path / 'rocket.keras'}", f"--batch={tmp_path / 'batch.npz'}"]
        assert pictures.main(["flow", *arguments, f"--output={tmp_path / 'flow.png'}"]) == 0

    @pytest.mark.slow
    def test_curves_of_several_runs(self, tmp_path):
        runs = tmp_path / "runs"
        table = ["--table=digits", "--seeds=2", "--methods=light", f"--runs={runs}", *TINY]
        assert reproduce.main(table) == 0
        folders = sorted(str(path.parent) for path in runs.rglob("config.json"))
        assert pictures.main(["curves", *folders, f"--output={tmp_path / 'curves.png'}"]) == 0
        assert (tmp_path / "curves.png").read_bytes().startswith(PNG)

    def test_names_of_runs_are_as_short_as_they_can_be(self, tmp_path):
        paths = [tmp_path / "rocket" / "seed0", tmp_path / "light" / "seed0"]
        assert pictures._short_name(paths[0], paths) == "rocket/seed0"
        assert pictures._short_name(paths[0], paths[:1]) == "seed0"

    @pytest.mark.parametrize(
        "content, named",
        [
            (None, "--model: "),
            ("no model", "cannot be read"),
            ("no batch", "cannot be read"),
            ("light net", "RocketModel whose losses"),
            ("no labels", "holds x, expected x, y"),
        ],
    )
    def test_mistakes_are_answered_in_one_line(self, tmp_path, capsys, content, named):
        model, batch = tmp_path / "model.keras", tmp_path / "batch.npz"
        x, y = examples(4)
        np.savez(batch, **({"x": x} if content == "no labels" else {"x": x, "y": y}))
        if content == "no model":
            model.write_text("nothing")
        elif content is not None:
            light, _ = linear_pair()
            light.save(model)
        if content == "no batch":
            batch.write_bytes(b"PK nothing")
        output = tmp_path / "flow.png"
        arguments = [f"--model={model}", f"--batch={batch}", f"--output={output}"]
        assert pictures.main(["flow", *arguments]) == 2
        error = capsys.readouterr().err
        assert named in error and error.count("\n") == 1
        assert not output.exists()
        for arguments in (["curves", str(tmp_path), f"--output={output}"], ["run", str(tmp_path)]):
            assert pictures.main(arguments) == 2
            assert "holds no run" in capsys.readouterr().err


class TestChooseHintWeight:
    def test_takes_the_least_mean_validation_error(self):
        result = hint_weights.compare({1.0: [4.0, 6.0], 0.3: [4.5, 4.5], 3.0: [5.0, 4.0]})
        assert result["chosen"] == 0.3  # 3.0 is as good and larger
        assert list(result["validation_errors"]) == ["0.3", "1", "3"]
        assert result["validation_errors"]["1"]["mean"] == 5.0

    def test_a_diverging_weight_is_the_worst(self, tmp_path, monkeypatch, capsys):
        def diverge(config, workdir, data):
            if config["hint_weight"] > 1:
                raise NonFiniteLossError("step 3")
            RunFolder(workdir).write_config(config)
            RunFolder(workdir).write_summary({"light": {"validation_error": 30.0}})

        monkeypatch.setattr(train, "train_and_evaluate", diverge)
        arguments = ["--config=digits", "--method=rocket", "--weights=1,100", "--seeds=1"]
        arguments += ["--validation_examples=20", f"--runs={tmp_path}"]
        assert choose_hint_weight.main(arguments) == 0
        out = capsys.readouterr().out
        assert "weight 100 diverges" in out and "chosen: 1" in out
        assert choose_hint_weight.main(arguments) == 0  # neither is tried again
        assert "to do" not in capsys.readouterr().out

    def test_methods_without_a_hint_are_refused(self, capsys):
        arguments = ["--config=digits", "--method=kd", "--weights=1", "--validation_examples=20"]
        with pytest.raises(SystemExit) as error:
            choose_hint_weight.main(arguments)
        assert error.value.code == 2
        assert "no_joint_training" in capsys.readouterr().err

    @pytest.mark.slow
    def test_trains_on_a_validation_split(self, tmp_path, capsys):
        output = tmp_path / "chosen.json"
        arguments = [
            "--config=digits",
            "--method=rocket_softmax_mse",
            "--weights=0.1,1",
            "--validation_examples=20",
            "--seeds=1",
            f"--runs={tmp_path / 'runs'}",
            f"--output={output}",
            *TINY,
        ]
        assert choose_hint_weight.main(arguments) == 0
        result = json.loads(output.read_text())
        assert f"chosen: {result['chosen']:g}" in capsys.readouterr().out
        configs = [json.loads(path.read_text()) for path in tmp_path.rglob("config.json")]
        assert {config["hint_weight"] for config in configs} == {0.1, 1.0}
        assert {config["validation_examples"] for config in configs} == {20}
        assert {config["hint"] for config in configs} == {"softmax_mse"}

    @pytest.mark.parametrize(
        "changes, named",
        [
            ({"--weights": "0.1,a"}, "config.hint_weight: got 'a'"),
            ({"--seeds": "0"}, "--seeds"),
            ({"--validation_examples": "0"}, "--validation_examples"),
            ({"--validation_examples": "1000"}, "config.validation_examples"),
        ],
    )
    def test_mistakes(self, tmp_path, capsys, changes, named):
        arguments = {
            "--config": "digits",
            "--method": "rocket_kd_hint",
            "--weights": "0.1",
            "--validation_examples": "20",
            "--runs": str(tmp_path / "runs"),
            **changes,
        }
        flat = [part for pair in arguments.items() for part in pair]
        assert choose_hint_weight.main(flat) == 2
        error = capsys.readouterr().err
        assert named in error and error.count("\n") == 1
        assert not (tmp_path / "runs").exists()
