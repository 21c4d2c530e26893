"""The actions of NAME: each is a method of one class."""

from __future__ import annotations

from collections import Counter as Tally
from typing import Any


class Counter:
    """Counts the words of a text.

    Each run constructs its own object. The method gets the params that it names, the constructor the others. The agent
    passes `context`, which is not a param.
    """

    def __init__(self, context: Any, ignore_case: bool = True) -> None:
        self._context = context
        self._ignore_case = ignore_case

    def count(self, text: str, least: int = 1) -> dict[str, int]:
        """Count each word, and omit words that occur less often than `least`."""
        words = self._words(text)
        self._context.log("counted", {"words": len(words)})  # an event of the run
        return {word: count for word, count in Tally(words).items() if count >= least}

    def longest(self, text: str, most: int = 3) -> list[str]:
        """Return the longest words, at most a given number."""
        return sorted(set(self._words(text)), key=lambda word: (-len(word), word))[:most]

    def _words(self, text: str) -> list[str]:
        return (text.lower() if self._ignore_case else text).split()
