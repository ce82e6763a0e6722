"""Generated bad command lines and configuration files give one line and exit code 2."""

import contextlib
import io
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags
from hypothesis import given, settings
from hypothesis import strategies as st

from rocket_tf.commands import train
from rocket_tf.config import FIELDS, ConfigError, bundled
from rocket_tf.config.methods import METHODS
from rocket_tf.data.catalog import DATASETS
from rocket_tf.networks.backbone_names import BACKBONES

# ml_collections loads configuration files with load_module().
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

ROOT = Path(__file__).parents[2]
HEAD = "import pickle\nfrom rocket_tf import config as options\ndef get_config(method=None):\n    "
LONGEST_LINE = 1000  # characters, even for the longest values
COLUMNS = (
    *("category_columns", "number_columns", "request_columns", "booster_only"),
    "label_columns",
)
SIZES = ("light_tower", "booster_tower")
IMAGES = [name for name, card in DATASETS.items() if card.kind == "images"]
# How many bad strings and how many bad values each field gets; ROCKET_FUZZ=30 tries more.
EXAMPLES = int(os.environ.get("ROCKET_FUZZ", 8))


class TensorFlowWanted(Exception):
    """Raised in place of loading TensorFlow, when the command has found nothing wrong."""


@pytest.fixture
def answer(tmp_path, monkeypatch):
    """Runs the command here, in an empty folder; returns its exit code, stdout and stderr."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def refuse():
        raise TensorFlowWanted

    monkeypatch.setattr(train, "load_tensorflow_quietly", refuse)

    def run(*arguments):
        flags.FLAGS.unparse_flags()
        # Without this, a file without get_config would get that of the previous file.
        sys.modules.pop("config_config", None)
        printed, complained = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complained):
            code = train.main(arguments)
        return code, printed.getvalue(), complained.getvalue()

    yield run
    flags.FLAGS.unparse_flags()


def assert_refused(answered, *named):
    """Asserts that the answer is one line with one of the names and that nothing was written."""
    code, printed, complained = answered
    assert (code, printed) == (2, "")
    assert complained.startswith("rocket_tf: ") and complained.endswith("\n")
    assert len(complained.splitlines()) == 1
    assert "Traceback" not in complained
    assert any(name in complained for name in named), complained
    assert len(complained) < LONGEST_LINE
    assert list(Path().iterdir()) == []


def examine(strategy, count, check):
    """Checks up to `count` examples, the same in every run, and returns how many there were."""
    examined = []

    @settings(max_examples=count, derandomize=True, deadline=None, database=None)
    @given(strategy)
    def one(example):
        examined.append(example)
        check(example)

    one()
    return len(examined)


def takes(name, value):
    """Whether a value has the type of a field and is in its range."""
    kind = type(FIELDS[name].default)
    types = {float: int | float, tuple: tuple | list}.get(kind, kind)
    is_of_type = isinstance(value, types) and isinstance(value, bool) == (kind is bool)
    return is_of_type and FIELDS[name].accepts(value)


def reads(name, text):
    """Whether a text on the command line is a value of a field."""
    readers = {
        bool: lambda text: {"true": True, "1": True, "false": False, "0": False}[text.lower()],
        int: int,
        float: float,
        str: str,
        tuple: lambda text: (
            () if text in ("", "()", "[]") else tuple(map(float, text.strip("()[], ").split(",")))
        ),
    }
    if name in COLUMNS:
        names = [part.strip() for part in text.split(",")]
        quoted = text.strip("()[], ")[1:-1] if "'" in text or '"' in text else "-"
        return (
            text in ("", "()", "[]") or all(map(str.isidentifier, names)) or quoted.isidentifier()
        )
    if name in SIZES:
        return text.strip("()[], ").isdigit()
    try:
        value = readers[type(FIELDS[name].default)](text)
    except (KeyError, ValueError):
        return False
    return takes(name, value)


NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([math.nan, math.inf, -math.inf, -1, 0, 1e308, 10**400, -(10**400), 2**64]),
)
TEXTS = st.one_of(
    st.text(max_size=12),
    NUMBERS.map(str),
    st.lists(NUMBERS, max_size=3).map(str),
    st.sampled_from(
        [
            *("", " ", "\n", "a\nb", "\0", "é", "\u2028", "\x1b[31m", "\udc80", "None", "-"),
            *("1e999", "nan", "-inf", "1_", "0x10", "1.5", "2+1j", "yes", "[]", "{}", "'a'"),
            *("((0.3, 0.6), 0.8)", "(0.3", "0.3,,0.6", "1or 2", "'\\d'", "0.3 0.6", "lambda: 0"),
            *("(" * 5000, "-" * 50_000 + "1", "9" * 5000, "0x" + "f" * 5000, "a" * 100_000),
        ]
    ),
)
VALUES = st.one_of(
    NUMBERS,
    st.recursive(
        st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=5), st.binary(max_size=3)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.lists(inner, max_size=3).map(tuple),
            st.dictionaries(st.text(max_size=3), inner, max_size=2),
        ),
        max_leaves=4,
    ),
    # These have more digits than Python prints, even in Hypothesis's messages.
    st.just(5000).map(lambda digits: 10**digits),
    st.just(5000).map(lambda digits: (0.3, 10**digits)),
    st.sampled_from(["a\0b", "\ud800", "a\nb", "x" * 100_000, object]),
)


@pytest.mark.parametrize("name", FIELDS)
class TestEveryField:
    def test_texts_that_are_not_values(self, name, answer):
        def check(text):
            answered = answer("--config=digits", "--workdir=run", f"--config.{name}={text}")
            assert_refused(answered, f"config.{name}: ")

        texts = TEXTS.filter(lambda text: not reads(name, text))
        assert examine(texts, EXAMPLES, check) == EXAMPLES

    def test_values_in_a_file(self, name, answer, tmp_path):
        path = tmp_path / "bad.py"

        def check(value):
            path.write_text(
                f"{HEAD}config = dict(options.default())\n"
                f"    config[{name!r}] = pickle.loads({pickle.dumps(value)!r})\n    return config\n"
            )
            assert_refused(answer(f"--config={path}", "--workdir=run"), f"config.{name}: ")

        values = VALUES.filter(lambda value: not takes(name, value))
        assert examine(values, EXAMPLES, check) == EXAMPLES

    def test_values_assigned_in_a_file(self, name, answer, tmp_path):
        path = tmp_path / "bad.py"

        def check(value):
            path.write_text(
                f"{HEAD}config = options.default()\n"
                f"    config.{name} = pickle.loads({pickle.dumps(value)!r})\n    return config\n"
            )
            # If ml_collections itself fails, only the file names the field.
            assert_refused(answer(f"--config={path}"), f"config.{name}: ", "--config: cannot be")

        values = VALUES.filter(lambda value: not takes(name, value))
        assert examine(values, EXAMPLES, check) == EXAMPLES


def test_there_are_at_least_500_examples():
    assert 3 * EXAMPLES * len(FIELDS) >= 500


def misspelt(name, place, letter):
    return name[:place] + letter + name[place + 1 :]


def depths(minimum=1):
    return st.integers(minimum, 100).map(lambda count: 6 * count + 4)


# Overrides of the defaults, by the field that the message names.
COMBINATIONS = {
    "light_depth": st.one_of(
        st.builds(lambda depth: {"layout": "bottom", "light_depth": depth}, depths()),
        st.sampled_from([0, 12, 14, 18]).map(lambda depth: {"light_depth": depth}),
        st.just({"layout": "constant", "light_depth": 0}),
        depths(7).map(lambda depth: {"light_depth": depth, "booster_depth": depth - 6}),
    ),
    "layout": st.sampled_from(
        [
            {"method": "at", "layout": "bottom", "light_depth": 0},
            {"method": "at", "layout": "constant"},
        ]
    ),
    "data_path": st.sampled_from(
        [
            {"dataset": "image_folder"},
            {"dataset": "click_log", "data_path": "nowhere"},
            {"data_path": "data.npz"},
        ]
    ),
    "light_backbone": st.sampled_from(BACKBONES).map(
        lambda name: {"booster_backbone": name, "light_backbone": name, "branch_layer": "conv1"}
    ),
    "branch_layer": st.just({"branch_layer": "conv1"}),
    "method": st.sampled_from(["simulated_clicks", "movielens_100k"]).map(
        lambda dataset: {"dataset": dataset, "method": "at"}
    ),
    "booster_backbone": st.just(
        {"dataset": "movielens_1m", "booster_backbone": "VGG16", "light_backbone": "VGG16"}
    ),
    "share": st.just({"method": "no_joint_training", "share": False}),
    "train_examples": st.builds(
        lambda dataset, more: {
            "dataset": dataset,
            "train_examples": DATASETS[dataset].train_examples + more,
        },
        st.sampled_from(list(DATASETS)),
        st.integers(1, 10**6),
    ),
    "validation_examples": st.integers(200, 10**6).map(
        lambda count: {"train_examples": 200, "validation_examples": count}
    ),
    "split_seed": st.builds(
        lambda dataset, seed: {"dataset": dataset, "split_seed": seed},
        st.sampled_from(["cifar10", "cifar100", "svhn", "movielens_1m"]),
        st.integers(1, 10**6),
    ),
    "batch_size": st.integers(101, 10**6).map(
        lambda size: {"train_examples": 100, "batch_size": size}
    ),
    "replicas": st.integers(129, 10**6).map(lambda count: {"replicas": count}),
    "crop_padding": st.builds(
        lambda dataset, more: {
            "dataset": dataset,
            "crop_padding": min(DATASETS[dataset].image_shape[:2]) + more,
        },
        st.sampled_from(IMAGES),
        st.integers(1, 10**6),
    ),
    "rand_augment": st.floats(1e-3, 1).map(
        lambda magnitude: {"dataset": "digits", "rand_augment": magnitude}
    ),
    "cutmix": st.builds(
        lambda mixup, cutmix: {"mixup": mixup, "cutmix": cutmix},
        st.floats(1e-3, 10),
        st.floats(1e-3, 1),
    ),
    "weight_decay": st.floats(1e-6, 1).map(
        lambda decay: {"optimizer": "adam", "weight_decay": decay}
    ),
}


class TestCommandLines:
    @pytest.mark.parametrize("named", COMBINATIONS)
    def test_fields_that_conflict(self, named, answer, tmp_path):
        path = tmp_path / "defaults.py"
        path.write_text(f"{HEAD}return options.default()\n")

        def check(overrides):
            overrides = [f"--config.{name}={value}" for name, value in overrides.items()]
            assert_refused(answer(*overrides, f"--config={path}"), f"config.{named}: ")

        examine(COMBINATIONS[named], 8, check)

    def test_one_mistake_among_many_overrides(self, answer):
        good = st.sets(st.sampled_from(["epochs", "width", "seed", "hint", "flip"]), max_size=5)
        bad = st.sampled_from([name for name in FIELDS if not reads(name, "wrong")])

        def check(drawn):
            names, mistaken, place = drawn
            arguments = [f"--config.{name}={FIELDS[name].default}" for name in sorted(names)]
            arguments.insert(place, "--config=digits")
            arguments.insert(place, f"--config.{mistaken}=wrong")
            assert_refused(answer(*arguments, "--workdir=run"), f"config.{mistaken}: ")

        examine(st.tuples(good, bad, st.integers(0, 5)), 30, check)

    def test_fields_that_do_not_exist(self, answer):
        names = st.one_of(
            st.builds(
                misspelt,
                st.sampled_from(list(FIELDS)),
                st.integers(0, 8),
                st.text("abcxyz_.- ", max_size=2),
            ),
            st.text(max_size=20),
            st.sampled_from(
                ["", ".", ".epochs", "epochs.x", "epochs[0]", "a" * 10_000, "é", "a b"]
            ),
        ).filter(lambda name: name not in FIELDS and "=" not in name)

        def check(drawn):
            name, text = drawn
            arguments = [f"--config.{name}={text}", "--config=digits", "--workdir=run"]
            assert_refused(answer(*arguments), "no such field")

        examine(st.tuples(names, TEXTS), 60, check)

    @pytest.mark.parametrize(
        "arguments, named",
        [
            (["--config=digits", "--config.epochs"], "config.epochs: has no value"),
            (
                ["--config=digits", "--config.epochs", "--workdir=run"],
                "config.epochs: has no value",
            ),
            (["--config=digits", "--config.data_dir"], "config.data_dir: has no value (nothing"),
            (["--config=digits", "--config.data_dir", "--workdir=x"], "has no value (--workdir=x"),
            (["--config=digits", "-config.data_dir", "-workdir", "x"], "has no value (-workdir f"),
            (["--config", "--workdir=x"], "--config: has no value (--workdir=x follows)"),
            (["--workdir", "--config=digits"], "--workdir: has no value (--config=digits follows)"),
            (["--config=digits", "--config.split_seed", "-1"], "config.split_seed: got -1"),
            (
                ["--config=digits", "--config.data_dir", "/x", "--config.epochs", "0"],
                "epochs: got 0",
            ),
            (["--config=digits", "--config.=3"], "config.: no such field"),
            (["--config=digits", "--config."], "config.: no such field"),
            (["--config=digits", "--config..epochs=3"], "did you mean config.epochs?"),
            (["--config=digits", "--config.epochs.x=1"], "did you mean config.epochs?"),
            (["--config=digits", "--config.epochs==3"], "config.epochs: got '=3'"),
            (["--config=digits", "--config.flip", "False"], "False: not a flag"),
            (["--config=digits", "--noconfig.flip=True"], "--noconfig.flip: takes no value"),
            (["--config=digits", "--noconfig.epochs"], "config.epochs: got 'False'"),
            (["--config=digits", "--noconfig.epoch"], "did you mean config.epochs?"),
            (["--config=digits", "--config=digits"], "--config: given 2 times"),
            (["--config", "digits", "--config=cifar10"], "--config: given 2 times"),
            (["--config.epochs=3"], "--config: missing"),
            (["--evaluate_only", "--config.epochs=3"], "--config: missing"),
            (["--noconfig"], "--noconfig: no such flag"),
            (["--config"], "--config"),
            (["--config="], "--config: got"),
            (["--config=."], "--config: got ."),
            (["--config=" + "a" * 5000], "--config: cannot be loaded (OSError)"),
            (["--config=digits", "--evaluate_only=maybe"], "--evaluate_only=maybe"),
            (["--config=digits", "--noevaluate_only=3"], "--noevaluate_only=3"),
            (["--config=digits", "--verbosity=loud"], "--verbosity=loud"),
            (["--config=digits", "--flagfile=nothing"], "--flagfile: cannot be read"),
            (["--config=digits", "--flagfile"], "--flagfile: cannot be read"),
            (["--config=digits", "--", "--config.epochs=3"], "--config.epochs=3: not a flag"),
            (["--config=digits", "-"], "-: not a flag"),
            (["--config=digits", ""], "not a flag"),
            (["--config=digits", "--workdir"], "--workdir"),
        ],
        ids=str,
    )
    def test_syntax(self, answer, arguments, named):
        assert_refused(answer(*arguments), named)

    def test_a_flag_file_is_read_like_the_command_line(self, answer, tmp_path):
        path = tmp_path / "flags.txt"
        path.write_text("--config=digits\n--config.epochs=0\n")
        assert_refused(answer(f"--flagfile={path}"), "config.epochs: got 0")
        path.write_bytes(b"\xff\xfe")
        assert_refused(answer(f"--flagfile={path}"), "--flagfile: cannot be read")

    def test_flags_that_do_not_exist(self, answer):
        def check(text):
            assert_refused(answer("--config=digits", "--workdir=run", f"--{text}"), "no such flag")

        names = st.text(min_size=1, max_size=20).filter(
            lambda text: text[0] not in "-=" and text.partition("=")[0] not in flags.FLAGS
        )
        examine(st.one_of(names, st.sampled_from(list(FIELDS)), st.just("x" * 9999)), 30, check)

    def test_arguments_that_are_not_flags(self, answer):
        def check(text):
            assert_refused(answer("--config=digits", text, "--workdir=run"), "not a flag")

        examine(TEXTS.filter(lambda text: not text.startswith("-")), 30, check)

    def test_methods_that_do_not_exist(self, answer):
        def check(method):
            assert_refused(answer(f"--config=digits:{method}"), "--config: got method ")

        names = st.one_of(st.sampled_from(["kd:kd", "kd ", "KD", "../kd"]), TEXTS)
        examine(names.filter(lambda name: name not in METHODS), 30, check)

    def test_a_file_as_workdir(self, answer, tmp_path):
        (tmp_path / "file").write_text("")
        answered = answer("--config=digits", f"--workdir={tmp_path / 'file'}")
        assert_refused(answered, "--workdir: ")


FILES = {
    "": "--config: cannot be loaded (AttributeError)",
    "def get_config(:": "--config: cannot be loaded (SyntaxError)",
    "a\0b": "--config: cannot be loaded (SyntaxError)",
    "import nothing_of_this_name": "--config: cannot be loaded (ModuleNotFoundError)",
    "open('nothing')": "--config: cannot be loaded (OSError)",
    "get_config = 3": "--config: cannot be loaded (TypeError)",
    "def get_config(one, two): pass": "--config: cannot be loaded (TypeError)",
    "def get_config(): return None": "--config: get_config() of",
    "def get_config(): return 3": "--config: get_config() of",
    "def get_config(): return [('epochs', 3)]": "--config: get_config() of",
    "def get_config(): return {}": "config.seed: missing",
    "def get_config(): return {1: 2}": "config.1: no such field",
    "def get_config(): return {'a\\nb': 2}": "config.a b: no such field",
    "def get_config(): raise RuntimeError('one\\ntwo')": "(RuntimeError): one two",
    "def get_config(): raise ValueError('one\\ntwo')": "(ValueError): one two",
    "import sys; sys.exit()": "--config: the file ends the process by sys.exit() (",
    "def get_config(): raise SystemExit('no\\nlicence')": "by sys.exit('no\\nlicence') (",
    "def get_config(): exit(0)": "--config: the file ends the process by sys.exit(0) (",
    "def get_config(): raise KeyError": "--config: cannot be loaded (KeyError)",
    "def get_config(): return b'\\xff'.decode()": "--config: cannot be loaded (UnicodeDecodeError)",
    "def get_config(): return get_config()": "--config: cannot be loaded (RecursionError)",
    "def get_config(): raise OSError('x' * 10 ** 6)": "--config: cannot be loaded (OSError)",
    "def get_config(): return 10**400 / 3": "--config: cannot be loaded (OverflowError)",
    HEAD + "config = options.default(); config.unlock(); config.epoch = 3; return config": (
        "did you mean config.epochs?"
    ),
    HEAD + "config = options.default(); config.epoch = 3; return config": (
        "did you mean config.epochs?"
    ),
    HEAD + "config = options.default(); del config.epochs; return config": "--config: cannot be",
    HEAD + "config = dict(options.default()); del config['hint']; return config": (
        "config.hint: missing"
    ),
    HEAD + "raise options.ConfigError('config.epochs: one\\ntwo')": "config.epochs: one two",
}


class TestFiles:
    def test_an_exit_is_a_mistake_for_studies_too(self, tmp_path):
        path = tmp_path / "bad.py"
        path.write_text("import sys\ndef get_config():\n    sys.exit(3)\n")
        with pytest.raises(ConfigError, match=r"by sys\.exit\(3\) \(.*/bad\.py:3\); remove that"):
            bundled.load_file(str(path))

    @pytest.mark.parametrize("text", FILES, ids=lambda text: repr(text)[-40:])
    def test_what_they_contain(self, text, answer, tmp_path):
        path = tmp_path / "bad.py"
        path.write_text(text + "\n")
        assert_refused(answer(f"--config={path}", "--workdir=run"), FILES[text])

    def test_any_bytes(self, answer, tmp_path):
        path = tmp_path / "bad.py"

        def check(content):
            path.write_bytes(content)
            assert_refused(answer(f"--config={path}"), "--config: cannot be loaded (")

        examine(st.one_of(st.binary(max_size=30), st.just(b"\xff\xfe")), 30, check)

    def test_a_bad_file_for_an_evaluation(self, answer, tmp_path):
        path = tmp_path / "bad.py"
        path.write_text("def get_config(): return {}\n")
        answered = answer("--evaluate_only", "--workdir=run", f"--config={path}")
        assert_refused(answered, "config.seed: missing")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config=digits"],
        ["--config", "digits:kd", "--workdir", "run", "--config.epochs", "3", "--config.flip"],
        ["--config.seed=1", "--noconfig.flip", "-config=digits", "--config.hint=kd"],
        ["--config=digits", "--config.epochs=3", "--config.epochs=4"],
    ],
    ids=str,
)
def test_good_command_lines_reach_tensorflow(answer, arguments):
    with pytest.raises(TensorFlowWanted):
        answer(*arguments)


def test_overrides_arrive_as_typed(answer):
    with pytest.raises(TensorFlowWanted):
        answer("--config=digits:kd", "--config.epochs=3", "--config.epochs=4", "--noconfig.share")
    config = flags.FLAGS.config
    assert (config["method"], config["epochs"], config["share"]) == ("kd", 4, False)
    assert config["light_depth"] == 10


def test_none_of_it_loads_tensorflow():
    """This needs a new process, because other tests have loaded TensorFlow in this one."""
    code = """
        import sys
        sys.argv[0] = "rocket-tf"
        from absl import flags
        from rocket_tf import main
        for arguments in (
            ["--config=nothing.py"], ["--config=digits", "--config.epochs=0"], ["--nothing"], ["x"]
        ):
            flags.FLAGS.unparse_flags()
            assert main.main(arguments) == 2
        assert not {"tensorflow", "keras"} & set(sys.modules)
    """
    code = "\n".join(line[8:] for line in code.splitlines())
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)
