"""`make check` finds the words that the house style replaces."""

from __future__ import annotations

import re

import pytest
from words import LIST, Word, places, prose, read_words, report

GIVE = Word("give", re.compile(r"\bgives?\b"), "return")
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
    """Names, data, code in backticks and the strings of tests are not counted."""
    assert [place.line for place in places(GIVE, {name: prose(name, MODULE)})] == lines


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("page.md", "give\n\n```sh\ngive\n```\n\n`give` and gives\n", [1, 7]),
        ("openapi.yaml", "description: |\n  give `give`\n", [2]),
        ("Makefile", "give: ## give it\n# gives\n\tgive '#!give'\n", [1, 2]),
        ("client.ts", "give() // give\n/* and\n * gives */\n", [1, 3]),
        ("config.yaml", "give: give # give\n", [1]),
        ("errors.py.jinja", '{# give #}\n{{ give }}\n"""Give\ngive."""\ngive()\n', [1, 4]),
    ],
)
def test_prose_of_other_files(name: str, text: str, lines: list[int]) -> None:
    """The script reads pages without their blocks of code, and the comments of programs."""
    assert [place.line for place in places(GIVE, {name: prose(name, text)})] == lines


def test_a_phrase_is_found_across_lines() -> None:
    """This holds for comments, too, although each line begins with a mark."""
    phrase = Word("to be had", re.compile(r"\bto\s+be\s+had\b"), "not found")
    text = prose("module.py", "# What is to\n    # be had.\n")
    assert [str(place) for place in places(phrase, {"module.py": text})] == ["module.py:1: to be had"]


def test_a_word_fails_with_its_place_and_the_alternative(capsys: pytest.CaptureFixture[str]) -> None:
    """If no word is found, the script prints nothing."""
    assert report([GIVE], {"page.md": "what\ngives"}) == 1
    assert capsys.readouterr().err == "page.md:2: gives: avoid 'give', write instead: return\n"
    assert report([GIVE], {"page.md": "what returns"}) == 0
    assert capsys.readouterr().err == ""


def test_the_list_finds_its_own_words() -> None:
    """Each pattern matches its word, unless the word is a description."""
    described = {"is no X", "British spelling"}
    words = read_words(LIST.read_text(encoding="utf-8"))
    assert [word.avoid for word in words if word.avoid not in described and not word.pattern.search(word.avoid)] == []
