"""Runs commands that end before training begins in the process of the tests."""

import subprocess
import sys

import pytest
from absl import flags

from rocket_tf import main
from rocket_tf.commands import train
from rocket_tf.config import bundled
from rocket_tf.config import flags as config_flags


def run_here(arguments, capsys):
    """Runs the command with `arguments` and returns a result like that of `subprocess.run`.

    TensorFlow is already loaded here, so tests of its quiet loading need their own processes.
    """
    flags.FLAGS.unparse_flags()
    sys.modules.pop("config_config", None)  # the configuration of the previous command
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        for module in (train, bundled, config_flags):
            patch.setattr(module, "load_tensorflow_quietly", lambda: None)
        try:
            code = main.main(arguments)
        finally:
            flags.FLAGS.unparse_flags()
    return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())
