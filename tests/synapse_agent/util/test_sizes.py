"""Sizes as people write them."""

from __future__ import annotations

import pytest

from synapse_agent.util.sizes import parse_size, show_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("4096B", 4096),
        ("512MiB", 512 * 2**20),
        ("1.5 GiB", 3 * 2**29),
        ("10GB", 10**10),
        ("10gb", 10**10),
        ("2k", 2000),
        (" 1TiB ", 2**40),
        ("9007199254740993", 2**53 + 1),
    ],
)
def test_a_size_is_read_as_people_mean_it(text: str, size: int) -> None:
    """Units with an `i` are powers of 1024, others of 1000; numbers without a unit are bytes."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "many", "-1", "1iB", "1XB", "1..5GB", "GiB", "1 2", "9" * 400, "9000000TiB"])
def test_an_invalid_size_is_an_error(text: str) -> None:
    """The message has an example."""
    with pytest.raises(ValueError, match="512MiB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 * 2**29, "1.5 GiB"), (5000 * 2**40, "5000.0 TiB")],
)
def test_a_size_is_shown(size: int, text: str) -> None:
    """The unit is the largest that fits."""
    assert show_size(size) == text
