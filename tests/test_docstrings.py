"""Examples in docstrings run, and every public name of the package and its core has one."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import rocket_tf
import rocket_tf.analysis
import rocket_tf.core
import rocket_tf.metrics
import rocket_tf.networks

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def defined_in(package):
    """The public classes and functions that the modules of a package define."""
    modules = [
        importlib.import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
    ]
    return [
        value
        for module in modules
        for name, value in vars(module).items()
        if (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
        and not name.startswith("_")
    ]


def public():
    """The package's public names and those of its core, metrics and analysis, by dotted name."""
    face = [
        value
        for package in (rocket_tf, rocket_tf.networks)
        for value in (getattr(package, name) for name in package.__all__)
        if not inspect.ismodule(value)
    ]
    inside = [
        value
        for package in (rocket_tf.core, rocket_tf.metrics, rocket_tf.analysis)
        for value in defined_in(package)
    ]
    return {f"{value.__module__}.{value.__qualname__}": value for value in [*face, *inside]}


PUBLIC = public()


def examples_of(value):
    """The examples of a docstring as one test, with the names of the module that defines it.

    The examples of the module's docstring come first, because they may prepare the others.
    """
    module = inspect.getmodule(value)
    parser = doctest.DocTestParser()
    name = f"{value.__module__}.{value.__qualname__}"
    test = parser.get_doctest(inspect.getdoc(value) or "", dict(vars(module)), name, None, 0)
    if test.examples:
        test.examples[:0] = parser.get_examples(inspect.getdoc(module) or "")
    return test


@pytest.mark.parametrize("name", PUBLIC)
def test_the_example_runs(name):
    test = examples_of(PUBLIC[name])
    assert test.examples, f"{name} has no example"
    report = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=OPTIONS)
    runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


def test_a_wrong_example_fails():
    def add(first, second):
        """Example:
        >>> 1 + 1
        3
        """

    runner = doctest.DocTestRunner(verbose=False)
    runner.run(examples_of(add), out=lambda text: None)
    assert runner.failures == 1


def test_everything_that_users_call_is_covered():
    assert {
        f"rocket_tf.core.{name}"
        for name in (
            "rocket_model.RocketModel",
            "objective.Objective",
            "hints.Hint",
            "heads.spread",
        )
    } <= set(PUBLIC)
    assert "rocket_tf.networks.wide_resnet.wide_resnet_pair" in PUBLIC
