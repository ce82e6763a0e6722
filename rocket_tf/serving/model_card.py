"""A model card in Markdown, from a net's provenance. It does not import TensorFlow."""

import base64
import dataclasses
import json
from pathlib import Path

from rocket_tf.serving import companions
from rocket_tf.system import files

NAME = "model_card.md"
_MOST_NAMES = 20
_MOST_VALUES = 64  # values of an example that is printed
_LONGEST_REQUEST = 1000  # characters
_FIGURES = {
    "test_error": ("test error", "{:.2f} %"),
    "validation_error": ("validation error", "{:.2f} %"),
    "test_auc": ("AUC", "{:.4f}"),
    "test_gauc": ("GAUC", "{:.4f}"),
    "test_log_loss": ("log loss", "{:.4f}"),
    "parameters": ("parameters", "{:,}"),
    "multiply_adds": ("multiply-adds", "{:,}"),
}
# The keys of a run's provenance, and the keys that every export adds.
_OF_CONFIG = {
    *("data_path", "method", "seed", "epochs", "optimizer", "learning_rate", "batch_size"),
}
_OF_DATA = {"dataset", "train_examples", "test_examples"}
_OWN = {
    *("net", "nets", "hints", "optimized", "optimization", "software", "created"),
    *("test_error", "validation_error"),
}
_ROLES = {
    "net": "this net",
    "light": "light net, which this is",
    "booster": "booster, trained beside it and not exported",
    "teacher": "teacher, trained before it and not exported",
}


@dataclasses.dataclass(frozen=True)
class Way:
    """One signature of a SavedModel, with an example.

    Attributes:
        signature: the signature's name.
        inputs: dict from names to (dtype, shape), `None` where a size is free.
        outputs: names of its outputs.
        request: dict from the inputs' names to NumPy arrays: a request that it answers.
    """

    signature: str
    inputs: dict
    outputs: list
    request: dict


def card_of(export):
    """The path of an export's card, beside its `provenance.json`."""
    return companions.provenance_of(export).with_name(NAME)


def write(export, ways=(), tasks=("classification",), contents=()):
    """Writes the card of an export whose provenance and labels are written.

    Args:
        export: the folder of a SavedModel, or a file of a converter.
        ways: list of `Way`s of a SavedModel; empty for a converted net.
        tasks: the tasks of its outputs, from `answers.tasks_of`.
        contents: the files of a converted net: dicts with "name", "kind", "size" in bytes,
            "test_error" in per cent or `None`, and "difference" to the model's logits.
    """
    origin = companions.read_provenance(export)
    labels = companions.read_labels(export)
    parts = (
        _introduction(origin, labels, tasks),
        _training(origin),
        _figures(origin, contents),
        _usage(ways) if ways else _inputs(origin["net"]),
        _limits(origin, ways),
    )
    files.write_text(card_of(export), "\n".join(line for part in parts for line in [*part, ""]))


def _introduction(origin, labels, tasks):
    net, software = origin["net"], origin["software"]
    revision = f", revision {software['revision']}" if "revision" in software else ""
    lines = [
        f"# Model card: {net['name']}",
        "",
        f"A net for {' and '.join(dict.fromkeys(task.replace('_', '-') for task in tasks))}, "
        f"exported on {origin['created'][:10]} by rocket_tf {software['rocket_tf']}{revision}, "
        f"with TensorFlow {software['tensorflow']} and Keras {software['keras']}.",
    ]
    if labels:
        more = f" and {len(labels) - _MOST_NAMES} more" if len(labels) > _MOST_NAMES else ""
        lines += ["", f"Classes ({len(labels)}): {', '.join(labels[:_MOST_NAMES])}{more}."]
    return lines


def is_of_run(origin):
    """Whether a provenance is that of a run; exports from Python may contain anything."""
    config, data = origin.get("config"), origin.get("data")
    return (
        isinstance(config, dict)
        and isinstance(data, dict)
        and config.keys() >= _OF_CONFIG
        and data.keys() >= _OF_DATA
        and {"epoch", "checkpoint"} <= origin.keys()
    )


def _training(origin):
    hints = [
        f"- Hint `{hint['name']}`: {hint['loss']}, weight {hint['weight']}, follows the "
        f"{hint['follows']}."
        for hint in origin["hints"]
    ]
    heading = ["## Training and data", ""]
    if not is_of_run(origin):
        entries = [
            f"- {name}: {json.dumps(value, ensure_ascii=False)}"
            for name, value in origin.items()
            if name not in _OWN
        ]
        where = "this is what was given with it:" if entries else "neither is recorded here."
        lines = [f"It was exported from Python. Of its data and training, {where}", "", *entries]
        return [*heading, *lines, *hints]
    config, data = origin["config"], origin["data"]
    path = f" (`{Path(config['data_path']).name}`)" if config["data_path"] else ""
    return [
        *heading,
        f"- Data: `{data['dataset']}`{path}, {data['train_examples']:,} training and "
        f"{data['test_examples']:,} test examples.",
        f"- Method: `{config['method']}`, seed {config['seed']}, {config['epochs']} epochs; the "
        f"weights are those of epoch {origin['epoch']} (`{origin['checkpoint']}`).",
        f"- Optimizer: `{config['optimizer']}`, learning rate {config['learning_rate']:g}, batches "
        f"of {config['batch_size']}.",
        *hints,
    ]


def _figures(origin, contents):
    nets = _nets(origin)
    names = [name for name in _FIGURES if any(name in figures for figures in nets.values())]
    rows = []
    for net, figures in nets.items():
        if net not in _ROLES:
            continue
        rows.append([_ROLES[net], *(_shown(name, figures) for name in names)])
        if "labels" in figures:
            first, *other_labels = figures["labels"]
            rows[-1][0] += f"; label {first}"
            rows += [
                [f"label {label}", *(_of_label(name, figures["labels"][label]) for name in names)]
                for label in other_labels
            ]
    heading = ["net", *(_FIGURES[name][0] for name in names)]
    lines = ["## Errors and cost", "", *_table(heading, rows)]
    if not _has_errors(origin):
        lines += ["", "Its errors are not recorded here."]
    if contents:
        rows = [
            [
                f"`{file['name']}`",
                file["kind"],
                f"{file['size']:,}",
                "not measured" if file["test_error"] is None else f"{file['test_error']:.2f} %",
                f"{file['difference']:.1e}",
            ]
            for file in contents
        ]
        heading = ["file", "format", "bytes", "test error", "largest difference from the model"]
        lines += ["", *_table(heading, rows)]
    return lines


def _nets(origin):
    """The figures of each net, those in `test_error` and `validation_error` among them."""
    nets = {net: dict(figures) for net, figures in origin["nets"].items()}
    for name in ("test_error", "validation_error"):
        errors = origin.get(name)
        for net, error in errors.items() if isinstance(errors, dict) else ():
            if net in nets and isinstance(error, int | float):
                nets[net].setdefault(name, error)
    return nets


def _has_errors(origin):
    return any("error" in name for figures in _nets(origin).values() for name in figures)


def _shown(name, figures):
    value = figures.get(name)
    return "not known" if value is None else _FIGURES[name][1].format(value)


def _of_label(name, figures):
    return _shown(name, figures) if name in figures else ""


def _usage(ways):
    rows = [
        [
            f"`{way.signature}`",
            ", ".join(f"`{name}` {_kind(*spec)}" for name, spec in way.inputs.items()),
            ", ".join(f"`{name}`" for name in way.outputs),
        ]
        for way in ways
    ]
    lines = ["## Asking it", "", *_table(["signature", "inputs", "outputs"], rows)]
    first = ways[0]
    arguments = [f"    {name}={_literal(array)}," for name, array in first.request.items()]
    lines += [
        "",
        "In Python, from the folder that holds `saved_model.pb`:",
        "",
        "```python",
        "import tensorflow as tf",
        "",
        "served = tf.saved_model.load('.')",
        f"answer = served.signatures['{first.signature}'](",
        *arguments,
        ")",
        f"print(answer['{first.outputs[-1]}'])",
        "```",
    ]
    # Short ones first: a file instead of all its pixels.
    readable = [way for way in ways if way.signature != "serve_examples"]
    bodies = sorted(filter(None, map(_body, readable)), key=len)
    if bodies and len(bodies[0]) <= _LONGEST_REQUEST:
        lines += [
            "",
            "To TensorFlow Serving's REST interface, POST to `/v1/models/<name>:predict`:",
            "",
            "```json",
            bodies[0],
            "```",
        ]
    return lines


def _inputs(net):
    rows = [[f"`{info['name']}`", _kind(info["dtype"], info["shape"])] for info in net["inputs"]]
    return ["## Asking it", "", *_table(["input", "dtype and shape"], rows)]


def _limits(origin, ways):
    net, limits = origin["net"], []
    if not _has_errors(origin):
        limits.append("Its errors are not known here: measure them before it is used.")
    if is_of_run(origin):
        config, data = origin["config"], origin["data"]
        limits.append(
            f"The errors are those of one training (seed {config['seed']}) on one set of "
            f"{data['test_examples']:,} examples. Other data and other seeds give other errors."
        )
        if data["dataset"].startswith("simulated"):
            limits.append("The data is simulated: the net knows nothing of real users.")
        if "booster" in origin["nets"]:
            limits.append(
                "One run does not say whether the booster helped; `rocket-tf study` compares."
            )
    if any(way.signature == "serve_bytes" for way in ways):
        limits.append(
            "`serve_bytes` reads PNG, JPEG, GIF and BMP files of at most 30 million pixels, and "
            "resizes and crops images of other sizes. The other signatures take only one size."
        )
    elif any(len(shape) > 1 for way in ways for _, shape in way.inputs.values()):
        limits.append("Inputs of other shapes than these are an error.")
    half = [dtype for dtype in net["compute_dtypes"] if dtype != "float32"]
    if half:
        limits.append(f"It computes in {', '.join(half)}, and is slow if that is emulated.")
    limits.append(
        "It was not tested on inputs unlike its training data, for fairness, or against attacks."
    )
    return ["## Known limits", "", *(f"- {limit}" for limit in limits)]


def _table(heading, rows):
    lines = [heading, ["---"] * len(heading), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _kind(dtype, shape):
    return f"{dtype} ({', '.join('n' if size is None else str(size) for size in shape)})"


def _literal(array):
    """An array in Python."""
    dtype = "string" if array.dtype.kind in "OSU" else array.dtype.name
    if dtype == "string":
        return f"tf.constant({array.tolist()!r})"
    if array.size <= _MOST_VALUES and not _is_even(array):
        return f"tf.constant({array.tolist()!r}, tf.{dtype})"
    return f"tf.fill({array.shape}, tf.constant({array.flat[0].item()!r}, tf.{dtype}))"


def _is_even(array):
    return array.size > 8 and bool((array == array.flat[0]).all())


def _body(way):
    """A request as JSON; `None` where JSON cannot hold it."""
    inputs = {
        name: _encoded(array.tolist(), name.endswith("_bytes"))
        for name, array in way.request.items()
    }
    try:
        return json.dumps({"signature_name": way.signature, "inputs": inputs}, allow_nan=False)
    except ValueError:
        return None


def _encoded(value, is_file):
    if isinstance(value, list):
        return [_encoded(item, is_file) for item in value]
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()} if is_file else value.decode()
    return value
