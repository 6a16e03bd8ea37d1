"""Sizes as people write them."""

from __future__ import annotations

import pytest

from buildfile.display.units import parse_size, size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("512", 512),
        ("512B", 512),
        ("500MB", 500_000_000),
        ("500m", 500_000_000),
        ("1.5 kB", 1500),
        ("10GiB", 10 << 30),
        ("2Ti", 2 << 40),
    ],
)
def test_sizes_are_read(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "MB", "-1", "1XB", "1.MB", "1iB", "1 2", "inf"])
def test_what_is_no_size_is_told_of(text: str) -> None:
    with pytest.raises(ValueError, match="500MB"):
        parse_size(text)


def test_sizes_that_are_shown_can_be_read() -> None:
    assert [parse_size(size(count)) for count in (0, 999, 1_500_000)] == [0, 999, 1_500_000]
