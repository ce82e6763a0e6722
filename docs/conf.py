"""The site, of the same Markdown files that the repository shows; `.ci/site` builds it.

The source folder is the repository's root, so that each relative link is right in both places.
What links point to beside pages, such as the pages in results/, is copied to the site as it lies.
"""

import inspect
import re
import shutil
from pathlib import Path

from docutils import nodes
from sphinx import addnodes

import rocket_tf

ROOT = Path(__file__).parents[1]

# The site's table of contents. A page that is in none of these is an error.
CONTENTS = {
    "Guides": (
        "docs/five_minutes",
        "docs/own_nets",
        "docs/keras_workflows",
        "docs/from_distiller",
        "docs/hints",
        "docs/choosing_hints",
        "docs/runs",
        "docs/recipes",
        "docs/clicks",
        "docs/image_folders",
        "docs/pretrained",
        "docs/training",
        "docs/serving",
        "docs/what_works",
    ),
    "Studies and results": (
        "docs/studies",
        "docs/when_it_helps",
        "docs/results",
        "docs/paper_tables",
    ),
    "Reference": (
        "docs/api/rocket_tf",
        "docs/api/networks",
        "docs/api/optimizers",
        "docs/api/data",
        "docs/api/analysis",
        "docs/api/losses",
        "docs/api/runs",
        "docs/api/errors",
    ),
    "Project": ("CHANGELOG", "CONTRIBUTING", "rocket_tf/core/README"),
}

# The pages of the API: a title, and packages whose public names, or modules whose public contents,
# are described there.
API = {
    "rocket_tf": ("rocket_tf", ("rocket_tf", "rocket_tf.networks.backbone_names")),
    "networks": ("rocket_tf.networks", ("rocket_tf.networks",)),
    "optimizers": ("rocket_tf.optimizers", ("rocket_tf.optimizers",)),
    "data": ("rocket_tf.data", ("rocket_tf.data", "rocket_tf.data.clicks.examples")),
    "analysis": ("Cost of nets", ("rocket_tf.analysis.costs",)),
    "losses": (
        "Losses of hints",
        ("rocket_tf.core.hint_losses", "rocket_tf.core.class_hint_losses"),
    ),
    "runs": (
        "Runs from Python",
        (
            "rocket_tf.train",
            "rocket_tf.runs.exports",
            "rocket_tf.config",
            "rocket_tf.config.methods",
            "rocket_tf.config.bundled",
        ),
    ),
    "errors": ("Errors", ("rocket_tf.errors",)),
}

project = "rocket_tf"
version = release = rocket_tf.__version__
root_doc = "README"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/*.md",
    "docs/api/*.rst",
    "rocket_tf/core/README.md",
]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
default_role = "code"
nitpicky = True
# What is described elsewhere; the site is built without a network.
nitpick_ignore_regex = [
    ("py:.*", r"(keras|tensorflow|tf|numpy|np|ml_collections|pathlib|collections|typing)\..*")
]
myst_heading_anchors = 4
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # signatures stay short; docstrings have shapes and dtypes, too
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"rocket_tf {release}"
html_show_copyright = False
html_static_path = ["static"]
html_css_files = ["site.css"]


def write_api(app, config):
    """Writes the pages of the API, which say what is public and leave the words to docstrings."""
    folder = ROOT / "docs" / "api"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for page, (title, modules) in API.items():
        lines = [title, "=" * len(title), ""]
        for name in modules:
            lines += [*_described(name, is_alone=len(modules) == 1), ""]
        (folder / f"{page}.rst").write_text("\n".join(lines))


def _described(name, is_alone):
    module = __import__(name, fromlist=["_"])
    heading = [] if is_alone or name == "rocket_tf" else [name, "-" * len(name), ""]
    lines = [*heading, f".. automodule:: {name}"]
    if not hasattr(module, "__all__"):
        return [*lines, "   :members:", "   :show-inheritance:"]
    for public in module.__all__:
        value = getattr(module, public)
        if not getattr(value, "__module__", "").startswith(name):
            continue  # described where it is defined
        if inspect.isclass(value):
            lines += [
                "",
                f".. autoclass:: {name}.{public}",
                "   :members:",
                "   :show-inheritance:",
            ]
        elif inspect.isfunction(value):
            lines += ["", f".. autofunction:: {name}.{public}"]
    return lines


def add_contents(app, docname, source):
    """Adds the table of contents to the first page, where a repository's browser shows none."""
    if docname != root_doc:
        return
    for caption, pages in CONTENTS.items():
        entries = "\n".join(f"/{page}" for page in pages)
        source[0] += f"\n\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{entries}\n```\n"


def link_files(app, doctree):
    """Makes links to files that are no pages plain links, and has the files copied."""
    for node in list(doctree.findall(addnodes.download_reference)):
        source = Path(node.source or doctree["source"])
        path = (Path(app.env.doc2path(app.env.docname)).parent / node["reftarget"]).resolve()
        if not path.is_file():
            raise FileNotFoundError(f"{source}: links to {path}, which is not there")
        app.env.linked_files = {*getattr(app.env, "linked_files", ()), str(path)}
        link = nodes.reference("", "", *node.children, refuri=node["reftarget"], internal=True)
        node.replace_self(link)


def copy_files(app, error):
    """Copies the linked files, and leads from the site's own address to its first page."""
    if error:
        return
    for path in getattr(app.env, "linked_files", ()):
        copy = Path(app.outdir) / Path(path).relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    (Path(app.outdir) / "index.html").write_text(
        f'<!doctype html><meta charset="utf-8"><title>{project}</title>'
        f'<meta http-equiv="refresh" content="0; url={root_doc}.html">'
        f'<a href="{root_doc}.html">{project}</a>\n'
    )


def sign(app, what, name, value, options, signature, returned):
    """The signature of a class is its `__init__`'s; Keras's `__new__` takes anything."""
    if what != "class" or "__init__" not in vars(value):
        return None
    parameters = list(inspect.signature(value.__init__).parameters.values())[1:]
    plain = [one.replace(annotation=one.empty) for one in parameters]
    return str(inspect.Signature(plain)), None


def name_public_bases(app, name, value, options, bases):
    """Names the bases that others know, instead of those that are the package's own affair."""
    known = [base for base in value.__mro__[1:] if not base.__module__.startswith("rocket_tf.")]
    bases[:] = known[:1] if known[0].__module__ not in ("builtins", "abc") else []


def as_rst(app, what, name, value, options, lines):
    """Docstrings are written as Markdown as far as `code` goes: RST needs a word to end with it."""
    parts = re.split(r"(^ *(?:>>>|\.\.\.) .*$)", "\n".join(lines), flags=re.MULTILINE)
    for index in range(0, len(parts), 2):  # what is between lines of code
        parts[index] = re.sub(r"`[^`]+`|[*_](?=\W|$)|(?<!\w)\*", _escaped, parts[index])
    lines[:] = "".join(parts).split("\n")


def _escaped(match):
    text = match[0]
    if text[0] != "`":
        return f"\\{text}"
    return f"`{text}`\\ " if re.match(r"\w", match.string[match.end() :]) else f"`{text}`"


def setup(app):
    app.connect("config-inited", write_api)
    app.connect("source-read", add_contents)
    app.connect("doctree-read", link_files, priority=100)  # before Sphinx collects downloads
    app.connect("autodoc-process-signature", sign)
    app.connect("autodoc-process-bases", name_public_bases)
    app.connect("autodoc-process-docstring", as_rst, priority=400)  # before napoleon
    app.connect("build-finished", copy_files)
