"""Plans for a daemon that is not there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from buildfile import images
from buildfile.draft import draft
from tests.buildfile.projects import project, site
from tests.daemon_shim.infos import info
from translator.compiled import ImageNeed, ResolvedImage

TEXT = """version: 1
stages: {s: {from: {image: alpine}}}
targets: {t: {stage: s}}
"""


def test_what_is_planned_again_begins_with_the_same_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def resolve(
        needs: Iterable[ImageNeed],
        _: object,
        *,
        known: Mapping[ImageNeed, ResolvedImage],
        **__: object,
    ) -> dict[ImageNeed, ResolvedImage]:
        asked.append([need.ref for need in needs if need not in known])
        new = ResolvedImage(digest=f"sha256:{len(asked):064}", config=b"{}")
        return {need: known.get(need, new) for need in needs}

    monkeypatch.setattr(images, "resolve_images", resolve)
    made, here = project(tmp_path, TEXT), site(info((0, 32, 0)))
    drafts = draft(made, made.select(["t"]), here.daemon.info())
    first, second = (here.plan(drafts, here.frontends(made)) for _ in range(2))
    assert asked == [["docker.io/library/alpine:latest"], []]
    assert first.jobs[0].parts[0].names == second.jobs[0].parts[0].names
