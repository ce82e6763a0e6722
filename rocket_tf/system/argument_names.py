"""Names that an export's inputs can have. Does not import TensorFlow."""

import keyword
import re


def is_argument_name(name):
    """Whether TensorFlow accepts a name unchanged as an argument of a signature.

    Such a name is an ASCII letter followed by ASCII letters, digits and underscores. It is neither
    a keyword of Python, such as `class`, nor `self`: the signature could not be called with those.

    Example:
        >>> [is_argument_name(name) for name in ("item", "user id", "class", "self")]
        [True, False, False, False]
    """
    is_word = re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) is not None
    return is_word and not keyword.iskeyword(name) and name != "self"


def differ_in_case_only(names):
    """The first two names that are equal for TensorFlow, which ignores case, or `None`.

    Example:
        >>> differ_in_case_only(["Item", "user", "item"]), differ_in_case_only(["item", "user"])
        (('Item', 'item'), None)
    """
    seen = {}
    for name in names:
        if seen.setdefault(name.lower(), name) != name:
            return seen[name.lower()], name
    return None


def argument_names(names):
    """Names that TensorFlow accepts as arguments of one signature, as close to others as possible.

    Characters other than letters, digits and underscores become underscores. A name that is still
    not accepted gets the prefix `input_`. Of names that differ only in case, which TensorFlow
    ignores, the later ones get a number. Names that need no change come first, and keep theirs.

    Args:
        names: list of strings.

    Returns:
        List of as many strings.

    Example:
        >>> argument_names(["user id", "class", "Item", "item", "1st"])
        ['user_id', 'input_class', 'Item', 'item_2', 'input_1st']
    """
    cleaned = [re.sub(r"\W", "_", name, flags=re.ASCII) for name in names]
    cleaned = [name if is_argument_name(name) else f"input_{name}" for name in cleaned]
    taken, unique = set(), {}
    for index in sorted(range(len(names)), key=lambda index: cleaned[index] != names[index]):
        name, number = cleaned[index], 1
        while name.lower() in taken:
            number += 1
            name = f"{cleaned[index]}_{number}"
        taken.add(name.lower())
        unique[index] = name
    return [unique[index] for index in range(len(names))]
