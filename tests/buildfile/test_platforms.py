"""Which platforms run on which."""

from __future__ import annotations

import pytest

from buildfile.platforms import runs_on
from translator.platform import Platform

ARM32 = "linux/arm/v8 linux/arm/v7 linux/arm/v6 linux/arm/v5"


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("linux/amd64", "linux/amd64 linux/386"),
        ("linux/amd64/v3", "linux/amd64/v3 linux/amd64/v2 linux/amd64 linux/386"),
        ("linux/386", "linux/386"),
        ("linux/arm", "linux/arm/v7 linux/arm/v6 linux/arm/v5"),
        ("linux/arm/v5", "linux/arm/v5"),
        ("linux/arm64", f"linux/arm64 {ARM32}"),
        ("linux/arm64/v8.2", f"linux/arm64/v8.2 linux/arm64/v8.1 linux/arm64 {ARM32}"),
        (
            "linux/arm64/v9",
            "linux/arm64/v9 linux/arm64/v8.5 linux/arm64/v8.4 linux/arm64/v8.3 linux/arm64/v8.2 "
            f"linux/arm64/v8.1 linux/arm64 {ARM32}",
        ),
        ("linux/riscv64", "linux/riscv64"),
        ("windows/amd64", "windows/amd64 windows/386"),
        ("linux/amd64/odd", "linux/amd64/odd linux/386"),
    ],
)
def test_platforms_come_best_first(platform: str, expected: str) -> None:
    assert list(map(str, runs_on(Platform.parse(platform)))) == expected.split()
