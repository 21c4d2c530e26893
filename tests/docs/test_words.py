"""`make check` counts the words that the house style replaces."""

from __future__ import annotations

import re

import pytest
from words import LIST, Word, added, lowered, places, prose, read_words, report

GIVE = Word("give", re.compile(r"\bgives?\b"), "return", at_most=1)
MODULE = '''
"""Give one."""

GIVE = "give"  # give two
MESSAGE = "Files give three."
CODE = """`give`"""
give(give="x")


def give():
    """Give four, which
    gives five."""
    return f"give {GIVE} {give} six"
'''


@pytest.mark.parametrize(
    ("name", "lines"),
    [("src/module.py", [4, 5, 12, 13]), ("tests/test_module.py", [4, 12])],
)
def test_prose_of_a_module_is_its_comments_docstrings_and_messages(name: str, lines: list[int]) -> None:
    """Names and data are not counted, nor code in backticks, nor the strings of a test."""
    assert [place.line for place in places(GIVE, {name: prose(name, MODULE)})] == lines


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("page.md", "give\n\n```sh\ngive\n```\n\n`give` and gives\n", [1, 7]),
        ("openapi.yaml", "description: |\n  give `give`\n", [2]),
        ("Makefile", "give: ## give it\n# gives\n\tgive '#!give'\n", [1, 2]),
        ("client.ts", "give() // give\n/* and\n * gives */\n", [1, 3]),
    ],
)
def test_prose_of_other_files(name: str, text: str, lines: list[int]) -> None:
    """Pages are read without their blocks of code, programs by their comments."""
    assert [place.line for place in places(GIVE, {name: prose(name, text)})] == lines


def test_a_phrase_is_found_across_lines() -> None:
    """In a comment, too, in which each line has its mark."""
    phrase = Word("to be had", re.compile(r"\bto\s+be\s+had\b"), "not found", at_most=0)
    text = prose("module.py", "# What is to\n    # be had.\n")
    assert [str(place) for place in places(phrase, {"module.py": text})] == ["module.py:1: to be had"]


def test_one_more_than_the_limit_fails_and_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Only the changed lines are printed: the others were there before."""
    texts = {"old.md": "give", "new.md": "what\ngives"}
    assert report([GIVE], texts, {("new.md", 2)}) == 1
    printed = capsys.readouterr().err
    assert "'give' occurs 2 times, the limit is 1. Write instead: return." in printed
    assert "new.md:2: gives" in printed
    assert "old.md" not in printed
    assert report([GIVE], {"old.md": "give"}, set()) == 0


def test_limits_only_fall() -> None:
    """A count above the limit does not raise it."""
    text = "".join(
        f"[[words]]\navoid = '{word}'\npattern = '{word}'\ninstead = ''\nat_most = {limit}\n"
        for word, limit in (("one", 5), ("two", 5))
    )
    assert [word.at_most for word in read_words(lowered(text, {"one": 3, "two": 8}))] == [3, 5]


def test_the_list_finds_its_own_words() -> None:
    """Each pattern matches the word that it stands for, unless that is a description."""
    described = {"is no X", "British spelling"}
    words = read_words(LIST.read_text(encoding="utf-8"))
    assert [word.avoid for word in words if word.avoid not in described and not word.pattern.search(word.avoid)] == []


def test_changed_lines_are_read_from_a_diff() -> None:
    """Of each hunk those that it adds."""
    diff = ["--- a/x.md", "+++ b/x.md", "@@ -1,2 +1,3 @@", "+a", "@@ -9 +10 @@", "+b", "@@ -20,2 +20,0 @@", "-c"]
    assert list(added(diff)) == [("x.md", 1), ("x.md", 2), ("x.md", 3), ("x.md", 10)]
