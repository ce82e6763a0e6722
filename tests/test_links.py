"""Links and anchors in the repository's texts, and the checker that finds broken ones."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def links():
    specification = importlib.util.spec_from_file_location("links", ROOT / ".ci" / "links.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_all_links_of_the_texts_work(links):
    wrong, count = links.problems(ROOT, links.TEXTS, links.of_markdown)
    assert wrong == [] and count > 50


@pytest.mark.parametrize(
    "link, problem",
    [
        ("other.md", None),
        ("other.md#what-it-is-and-isnt", None),
        ("#one-more", None),
        ("https://example.org/nothing", None),
        ("missing.md", "there is no such file"),
        ("../outside.md", "there is no such file"),
        ("other.md#what-it-is", "there is no such anchor"),
        ("#what-it-is-and-isnt", "there is no such anchor"),
    ],
)
def test_a_broken_link_in_markdown_is_found(links, tmp_path, link, problem):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside.md").write_text("# Outside\n")
    (root / "other.md").write_text("# What it *is*, and `isn't`\n")
    (root / "page.md").write_text(
        f"# One more\n[text]({link})\n`[code](nothing.md)`\n```\n[code](nothing.md)\n```\n"
    )
    wrong, _ = links.problems(root, ["*.md"], links.of_markdown)
    assert wrong == ([f"page.md: {link}: {problem}"] if problem else [])


@pytest.mark.parametrize(
    "link, problem",
    [
        ("b/other.html#part", None),
        ("b/other.html#", None),
        ("b/other.html?q=1#old", None),
        ("b/other.html#whole", "there is no such anchor"),
        ("other.html", "there is no such file"),
    ],
)
def test_a_broken_link_on_the_site_is_found(links, tmp_path, link, problem):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "other.html").write_text('<h1 id="part">x</h1><a name="old"></a>')
    (tmp_path / "page.html").write_text(f'<a href="{link}">x</a><img src="b/other.html">')
    wrong, count = links.problems(tmp_path, ["**/*.html"], links.of_html)
    assert wrong == ([f"page.html: {link}: {problem}"] if problem else []) and count == 2


def test_the_exit_code_tells_if_links_are_broken(links, tmp_path, capsys):
    (tmp_path / "page.md").write_text("[text](#here)\n# Here\n")
    assert links.main(tmp_path) == 0
    assert capsys.readouterr().out == "1 links, 0 of them broken\n"
    (tmp_path / "page.md").write_text("[text](#there)\n# Here\n")
    assert links.main(tmp_path) == 1
    assert capsys.readouterr().out.endswith("1 links, 1 of them broken\n")
