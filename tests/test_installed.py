"""The wheel in its own environment, away from the clone."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PARTS = ("rocket_tf", "configs", "setup.py", "pyproject.toml", "requirements.txt", "README.md")
RUN = ["--config.epochs=1", "--config.train_examples=64", "--config.batch_size=32"]


def run(*command, cwd):
    """Runs a command without PYTHONPATH, so that Python does not find the clone."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, cwd=cwd, env=environment
    )


def built(folder):
    """The path of a wheel, built from a copy so that nothing is written into the clone."""
    for name in (*PARTS, "LICENSE"):
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)
    # If the installed setuptools can build the wheel, no network is needed.
    can_build = int(importlib.metadata.version("setuptools").split(".")[0]) >= 77
    options = ["--no-build-isolation"] if can_build else []
    result = run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *options),
        *("--wheel-dir", folder / "wheels", folder),
        cwd=folder,
    )
    assert result.returncode == 0, result.stderr
    (wheel,) = (folder / "wheels").glob("rocket_tf-*.whl")
    return wheel


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """An environment with the wheel, which finds all other packages in the running environment."""
    wheel = built(tmp_path_factory.mktemp("source"))
    environment = tmp_path_factory.mktemp("fresh") / "environment"
    made = run(sys.executable, "-m", "venv", "--without-pip", environment, cwd="/")
    assert made.returncode == 0, made.stderr
    pip = [sys.executable, "-m", "pip", "--python", environment / "bin" / "python", "--quiet"]
    installed = run(*pip, "install", "--no-deps", "--no-index", wheel, cwd="/")
    assert installed.returncode == 0, installed.stderr
    (packages,) = environment.glob("lib/python*/site-packages")
    # Packages there come second, and .pth files of an editable install are not followed.
    outer = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (packages / "outer.pth").write_text("\n".join(outer) + "\n")
    return environment


@pytest.fixture
def command(environment, tmp_path):
    """Runs the installed command in an empty folder."""
    return lambda *arguments: run(environment / "bin" / "rocket-tf", *arguments, cwd=tmp_path)


def test_the_package_comes_from_the_wheel(environment, tmp_path):
    code = "import rocket_tf; print(rocket_tf.__file__, rocket_tf.RocketModel.__name__)"
    result = run(environment / "bin" / "python", "-c", code, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    place, name = result.stdout.split()
    assert Path(place).is_relative_to(environment) and name == "RocketModel"
    assert Path(place).with_name("py.typed").is_file()


def test_help_and_a_mistake(command):
    result = command("--help")
    assert (result.returncode, result.stderr) == (0, "")
    for name in ("train", "export", "serve-check", "choose-hint-weight", "interruptions"):
        assert f"\n  {name} " in result.stdout
    assert "\n  image_folder " in result.stdout
    result = command("--version")
    assert (result.returncode, result.stdout) == (0, "rocket_tf 0.2.0\n")
    result = command("--config=digit")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("rocket_tf: --config: got digit, expected the path")
    assert "cifar10, cifar100" in result.stderr and result.stderr.count("\n") == 1
    result = command("exprot")
    assert result.returncode == 2 and "did you mean export?" in result.stderr


def test_a_run_and_its_tools(command, tmp_path):
    result = command("--config=digits", "--workdir=run", *RUN)
    assert (result.returncode, result.stderr) == (0, "")
    assert "epoch 1/1" in result.stdout and (tmp_path / "run" / "summary.json").exists()
    result = command("export", "--workdir=run", "--output=out")
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "out" / "light" / "1" / "saved_model.pb").exists()
    result = command("serve_check", "out/light", "--workdir=run")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.endswith("All checks passed.\n")
    result = command("report", "--workdir=run")
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "run" / "report.html").exists()


def test_tables_name_the_installed_command(command, tmp_path):
    arguments = ["--table=digits", "--seeds=1", "--methods=light", "--write_only", "--runs=runs"]
    result = command("reproduce", *arguments)
    assert result.returncode == 0, result.stderr
    assert "rocket-tf reproduce --table=digits" in (tmp_path / "runs/table_digits.md").read_text()
