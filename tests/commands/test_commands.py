"""The command `rocket-tf`: its subcommands, and what starts as one of the project's commands."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rocket_tf import commands, main
from rocket_tf.config import __main__ as fields_module
from rocket_tf.errors import ConfigError
from tests.small_runs import SMALL, ended_by_sigterm

ROOT = Path(__file__).parents[2]
TOOLS = sorted(path.stem for path in (ROOT / "tools").glob("[a-z]*.py"))
FACE = "import json, sys, rocket_tf; print(json.dumps(['tensorflow' in sys.modules]))"
HELP_OF_ALL = """
import contextlib, io, json, sys

sys.argv[0] = "rocket-tf"
from rocket_tf import commands
from rocket_tf.main import main

helps = {}
for name in commands.COMMANDS:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            code = main([name, "--help"])
        except SystemExit as end:
            code = end.code
    loaded = sorted({"tensorflow", "keras"} & set(sys.modules))
    helps[name] = code, printed.getvalue(), loaded
print(json.dumps(helps))
"""


class TestDispatch:
    @staticmethod
    def listed(capsys, heading):
        """What the help lists under a heading: dict from names to the lines about them."""
        assert main.main(["--help"]) == 0
        _, _, rest = capsys.readouterr().out.partition(f"\n{heading}\n")
        lines = rest.partition("\n\n")[0].splitlines()
        assert lines and all(line.startswith("  ") for line in lines)
        return dict(line.split(maxsplit=1) for line in lines)

    def test_help_lists_every_command_with_a_line(self, capsys):
        listed = self.listed(capsys, "Commands:")
        assert list(listed) == list(commands.COMMANDS)
        assert len(set(listed.values())) == len(listed)
        for name, line in listed.items():
            assert line == commands.load(name).__doc__.splitlines()[0]

    def test_help_lists_every_configuration_with_what_it_is_for(self, capsys):
        listed = self.listed(capsys, "Configurations, as in --config=digits:")
        files = sorted((ROOT / "configs").glob("*.py"))
        assert list(listed) == [path.stem for path in files]
        for path in files:
            assert path.read_text().startswith(f'"""{listed[path.stem]}\n')
        for name, words in (("digits", "no download"), ("svhn", "SVHN"), ("clicks", "Click")):
            assert words in listed[name]

    def test_version_is_that_of_the_package_and_needs_no_tensorflow(self):
        code = (
            "import sys\nsys.argv[0] = 'rocket-tf'\nfrom rocket_tf.main import main\n"
            "code = main(['--version'])\nassert not {'tensorflow', 'keras'} & set(sys.modules)\n"
            "sys.exit(code)"
        )
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert (result.returncode, result.stdout) == (0, "rocket_tf 0.2.0\n")
        assert result.stderr == ""

    def test_every_module_and_every_tool_is_a_command(self):
        modules = {path.stem for path in Path(commands.__file__).parent.glob("[a-z]*.py")}
        assert modules == {name.replace("-", "_") for name in commands.COMMANDS}
        assert modules - {"train", "config"} == set(TOOLS)

    @pytest.mark.parametrize("tool", TOOLS)
    def test_a_tool_is_its_command_and_nothing_else(self, tool):
        wrapper = importlib.import_module(f"tools.{tool}")
        assert wrapper.main is commands.load(tool).main
        assert len((ROOT / "tools" / f"{tool}.py").read_text().splitlines()) < 10

    def test_each_has_help_of_its_own_and_loads_no_tensorflow(self):
        """One process asks all of them, and looks after each whether TensorFlow has come."""
        result = subprocess.run(
            [sys.executable, "-c", HELP_OF_ALL], capture_output=True, text=True, check=True
        )
        assert result.stderr == ""
        helps = json.loads(result.stdout)
        assert list(helps) == list(commands.COMMANDS)
        for name, (code, text, loaded) in helps.items():
            assert (code, loaded) == (0, []), name
            assert commands.summary(name) in " ".join(text.split())

    @pytest.mark.parametrize(
        "given, near",
        [("exprot", "export"), ("servecheck", "serve-check"), ("zzz", None), ("x\n" * 99, None)],
    )
    def test_an_unknown_one_is_answered_with_the_nearest(self, given, near, capsys):
        assert main.main([given, "--workdir=x"]) == 2
        out, error = capsys.readouterr()
        assert out == "" and error.count("\n") == 1 and len(error) < 200
        assert "no such command; did you mean " in error
        assert near is None or f"did you mean {near}?" in error

    @pytest.mark.parametrize("name", ["serve-check", "serve_check"])
    def test_both_spellings(self, name, tmp_path, capsys):
        assert main.main([name, str(tmp_path)]) == 2
        assert "holds neither a saved_model.pb nor versions" in capsys.readouterr().err

    @pytest.mark.parametrize("name", [name for name in commands.COMMANDS if name != "train"])
    def test_wrong_arguments_are_one_line(self, name, capsys):
        with pytest.raises(SystemExit) as end:
            main.main([name, "--nothing=3"])
        assert end.value.code == 2
        out, error = capsys.readouterr()
        assert out == "" and error.count("\n") == 1
        assert error.startswith(f"{name.replace('-', '_')}: ")

    def test_the_fields(self, capsys):
        assert main.main(["config"]) == 0
        by_command = capsys.readouterr().out
        by_module = subprocess.run(
            [sys.executable, "-m", "rocket_tf.config"], capture_output=True, text=True, cwd=ROOT
        )
        assert by_module.stdout == by_command and "learning_rate_drops " in by_command

    def test_the_module_of_the_fields_takes_no_arguments(self):
        with pytest.raises(ConfigError, match="--config=digits: not expected"):
            fields_module.main(["--config=digits"])

    @pytest.mark.parametrize("arguments", [["train"], []])
    def test_training_with_its_name_and_without(self, arguments):
        result = subprocess.run(
            [sys.executable, "-m", "rocket_tf.main", *arguments, "--config=nothing.py"],
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        assert result.returncode == 2
        assert result.stderr.startswith("rocket_tf: --config: got nothing.py")

    @pytest.mark.parametrize(
        "program, called",
        [
            ("/usr/bin/rocket-tf", "rocket-tf choose-hint-weight"),
            ("/clone/tools/choose_hint_weight.py", "python -m tools.choose_hint_weight"),
        ],
    )
    def test_tables_name_the_command_as_it_was_called(self, program, called, monkeypatch):
        monkeypatch.setattr(sys, "argv", [program])
        assert commands.as_called("choose_hint_weight") == called


class TestOwnCommands:
    """A process that is no command of the project has all names, and Keras all classes, at once."""

    def loads_tensorflow(self, arguments, cwd, program=FACE):
        result = subprocess.run(
            [sys.executable, *arguments],
            input=program,
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout.splitlines()[-1])[0]

    @pytest.mark.parametrize(
        "place",
        [
            # A program of -c, which starts the same way, is in tests/test_public_names.py.
            pytest.param("script.py", marks=pytest.mark.slow),
            pytest.param("tools/export.py", marks=pytest.mark.slow),
            pytest.param("main.py", marks=pytest.mark.slow),
        ],
    )
    def test_scripts_of_a_user_are_not_commands(self, place, tmp_path):
        script = tmp_path / place
        script.parent.mkdir(exist_ok=True)
        script.write_text(FACE)
        # Regardless of their arguments.
        assert self.loads_tensorflow([str(script), "-m", "rocket_tf.main"], tmp_path)

    @pytest.mark.slow
    def test_a_package_named_tools_of_a_user_is_not_ours(self, tmp_path):
        (tmp_path / "tools").mkdir()
        (tmp_path / "tools" / "__init__.py").write_text("")
        (tmp_path / "tools" / "export.py").write_text(FACE)
        assert self.loads_tensorflow(["-m", "tools.export"], tmp_path)

    @pytest.mark.slow
    def test_standard_input_is_not_a_command(self, tmp_path):
        assert self.loads_tensorflow(["-"], tmp_path)

    @pytest.mark.parametrize(
        "orig_argv, is_command",
        [
            (["-m", "rocket_tf.main", "--config=digits"], True),
            (["-um", "rocket_tf.serving.latency_worker", "onnx"], True),
            (["-X", "dev", "-W", "error", "-mrocket_tf.config"], True),
            (["-m", "rocket_tf.any.module"], True),
            (["-m", "tools.export"], True),
            (["-m", "tools.nothing"], False),
            (["-m", "rocket_tf_user.main"], False),
            (["-m", "pytest", "-m", "rocket_tf.main"], False),
            (["-c", "pass", "-m", "rocket_tf.main"], False),
            (["train.py", "-m", "tools.export"], False),
            ([], False),
        ],
    )
    def test_is_command(self, orig_argv, is_command, monkeypatch):
        import rocket_tf

        monkeypatch.setattr(sys, "orig_argv", ["python", *orig_argv])
        monkeypatch.setattr(sys, "argv", ["program"])
        monkeypatch.syspath_prepend(str(ROOT))
        assert rocket_tf._is_command() is is_command

    @pytest.mark.parametrize("program", ["/usr/bin/rocket-tf", "C/rocket-tf.exe"])
    def test_the_script_is_a_command(self, program, monkeypatch):
        import rocket_tf

        monkeypatch.setattr(sys, "orig_argv", ["python", program, "export"])
        monkeypatch.setattr(sys, "argv", [program, "export"])
        assert rocket_tf._is_command()


@pytest.mark.slow
def test_sigterm_ends_a_reproduction_in_one_line(tmp_path):
    settings = {**SMALL, "epochs": 1000, "train_examples": 64}
    code, errors = ended_by_sigterm(
        [
            *(sys.executable, "-m", "tools.reproduce", "--table=digits", "--seeds=1"),
            *("--methods=light", f"--runs={tmp_path}"),
            *(
                f"--set={name}={value}"
                for name, value in settings.items()
                if name not in ("dataset", "pictures")
            ),
        ],
        tmp_path,
    )
    assert code == 143
    (line,) = errors.splitlines()
    assert line.startswith("reproduce: SIGTERM: saved after ")
    assert line.endswith("; the same command goes on from there")
