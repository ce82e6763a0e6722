"""Names of an export's inputs: which stay, and what the others become."""

import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_tf.system import files
from rocket_tf.system.argument_names import (
    argument_names,
    differ_in_case_only,
    is_argument_name,
)

WORDS = ("item", "Item", "ITEM", "item_2", "class", "self", "a b", "a_b", "1", "_", "é", "input_1")


@pytest.mark.parametrize("name", [*keyword.kwlist, "self", "", "1st", "_x", "a b", "a.b", "größe"])
def test_invalid_names(name):
    assert not is_argument_name(name)


@pytest.mark.parametrize("name", ["x", "Item", "user_id", "match", "cls", "args", "x1", "Self"])
def test_names_that_stay(name):
    assert is_argument_name(name) and argument_names([name]) == [name]


@given(st.lists(st.sampled_from(WORDS) | st.text(min_size=1), unique=True, max_size=8))
def test_they_are_arguments_that_differ_in_more_than_case(names):
    found = argument_names(names)
    assert len(found) == len(names) and all(map(is_argument_name, found))
    assert differ_in_case_only(found) is None and len(set(found)) == len(found)
    if all(map(is_argument_name, names)) and differ_in_case_only(names) is None:
        assert found == names


def test_names_that_differ_only_in_case():
    assert differ_in_case_only(["a", "B", "c", "b", "A"]) == ("B", "b")
    assert differ_in_case_only([]) is None


@pytest.mark.parametrize("path", ["a[1]/b", "[a/b]", "a\\b"])
def test_paths_that_are_patterns(path):
    assert files.is_pattern(path)


@pytest.mark.parametrize("path", ["a[1", "a]b", "a*", "a?", "a b", "ä"])
def test_paths_that_are_not_patterns(path):
    assert not files.is_pattern(path)
