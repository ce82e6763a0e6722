"""Checks links and anchors without a network, in the repository's Markdown and on the built site.

    python .ci/links.py . build/site

Links to other hosts are left alone.
"""

import html.parser
import re
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

TEXTS = ("*.md", "docs/*.md", "results/*.md", "rocket_tf/**/*.md")


def slug(heading):
    """The anchor that a repository's browser gives a heading."""
    plain = re.sub(r"`|\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def of_markdown(text):
    """Links and anchors of a text.

    Returns:
        A list of link targets, and a set of anchors.
    """
    text = re.sub(r"^( *```).*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    links = re.findall(r"\]\(([^()\s]+)\)", re.sub(r"`[^`]*`", "", text))
    return links, {slug(heading) for heading in headings}


class _Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.anchors = [], set()

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


def of_html(text):
    """As `of_markdown`, of a page."""
    page = _Page()
    page.feed(text)
    return page.links, page.anchors


def problems(root, patterns, read):
    """What is wrong with the links of some files.

    Args:
        root: the folder in which all that is linked to lies.
        patterns: of the files, in that folder.
        read: `of_markdown` or `of_html`.

    Returns:
        A list of lines, and the number of links that were checked.
    """
    root = Path(root).resolve()
    paths = sorted({path for pattern in patterns for path in root.glob(pattern)})
    found = {path: read(path.read_text()) for path in paths}
    wrong, count = [], 0
    for path, (links, _) in found.items():
        for link in links:
            target = urlsplit(link)
            if target.scheme or target.netloc:
                continue
            count += 1
            place = (path.parent / unquote(target.path)).resolve() if target.path else path
            where = f"{path.relative_to(root)}: {link}"
            if not place.is_relative_to(root) or not place.exists():
                wrong.append(f"{where}: there is no such file")
            elif place in found and unquote(target.fragment) not in {*found[place][1], "", "top"}:
                wrong.append(
                    f"{where}: there is no such anchor"
                )  # browsers know "top" by themselves
    return wrong, count


def main(root, site=None):
    """Prints what is wrong; returns the exit code."""
    wrong, count = problems(root, TEXTS, of_markdown)
    if site is not None:
        more, others = problems(site, ["**/*.html"], of_html)
        wrong, count = wrong + more, count + others
    print("\n".join([*wrong, f"{count} links, {len(wrong)} of them broken"]))
    return 1 if wrong or not count else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
