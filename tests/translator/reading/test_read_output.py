from __future__ import annotations

from typing import Any

import pytest

from tests.translator.loading import ROOT, faults, project

TEXT = """version: 1
vars: {{RELEASE: {{type: bool, default: false}}, TAG: dev}}
stages: {{s: {{from: scratch}}}}
targets: {{t: {{stage: s, {key}: [{entry}]}}}}
"""


def output(entry: str, **more: Any) -> tuple[str, str, tuple[str, ...], dict[str, str]]:
    made = project(TEXT.format(key="outputs", entry=entry), **more).targets["t"][0].outputs[0]
    return made.type, made.dest, made.paths, dict(made.attrs)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            "{type: image, name: 'a:${TAG}', push: '${RELEASE}'}",
            ("image", "", (), {"name": "a:dev", "push": "false"}),
        ),
        ("'type=image,\"name=a,b\",push=1'", ("image", "", (), {"name": "a,b", "push": "true"})),
        ("'type=image,name=a:${TAG}'", ("image", "", (), {"name": "a:dev"})),
        ("{type: registry, name: a}", ("image", "", (), {"push": "true", "name": "a"})),
        (
            "{type: registry, name: a, push: false}",
            ("image", "", (), {"push": "false", "name": "a"}),
        ),
        ("{type: local, dest: out}", ("local", f"{ROOT}/out", (), {})),
        ("'type=local,dest=../out'", ("local", "/out", (), {})),
        (
            "{type: local, dest: /abs/out, mode: delete}",
            ("local", "/abs/out", (), {"mode": "delete"}),
        ),
        ("{type: local, dest: '~/out'}", ("local", "/home/me/out", (), {})),
        ("{type: local, dest: o, paths: ['/a,b', /c]}", ("local", f"{ROOT}/o", ("/a,b", "/c"), {})),
        ("'type=local,dest=o,paths=/a;/b'", ("local", f"{ROOT}/o", ("/a", "/b"), {})),
        ("out", ("local", f"{ROOT}/out", (), {})),
        ("'-'", ("tar", "-", (), {})),
        ("'type=tar'", ("tar", "", (), {})),
        ("'type=oci,dest=-'", ("oci", "-", (), {})),
        ("'type=docker,name=x,dest=x.tar'", ("docker", f"{ROOT}/x.tar", (), {"name": "x"})),
        ("'type=oci,dest=o,tar=false'", ("oci", f"{ROOT}/o", (), {"tar": "false"})),
        ("{type: none}", ("none", "", (), {})),
        (
            "{type: image, annotation.org.x: y, 'annotation-index[linux/arm64].z': w}",
            ("image", "", (), {"annotation.org.x": "y", "annotation-index[linux/arm64].z": "w"}),
        ),
        (
            "{type: oci, compression: zstd, compression-level: 3, oci-mediatypes: true}",
            (
                "oci",
                "",
                (),
                {"compression": "zstd", "compression-level": "3", "oci-mediatypes": "true"},
            ),
        ),
    ],
)
def test_outputs(entry: str, expected: tuple[str, str, tuple[str, ...], dict[str, str]]) -> None:
    assert output(entry, environment={"HOME": "/home/me"}) == expected


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("'type=local'", "missing-key this output of type local writes a folder and has no dest"),
        ("'type=local,dest=-'", "missing-key this output of type local writes a folder"),
        ("'type=oci,tar=false'", "missing-key this output of type oci writes a folder"),
        ("'type=imag'", "unknown-type there is no output of type imag"),
        ("'name=x'", "missing-key the key type is missing"),
        ("'type=image,nam=x'", "unknown-attribute outputs of type image have no attribute nam"),
        ("'type=image,dest=x'", "unknown-attribute outputs of type image have no attribute dest"),
        ("'type=image,push=maybe'", "bad-value push cannot be 'maybe', it must be true or false"),
        ("'type=image,compression=zip'", "it must be one of uncompressed, gzip, estargz, zstd"),
        ("'type=image,compression-level=x'", "compression-level cannot be 'x'"),
        ("{type: image, name: Not/AnImage}", "name cannot be 'Not/AnImage', it must be an image"),
        ("'type=image,push'", "bad-csv 'push' is not key=value"),
        ("'type=image,\"name=a'", "bad-csv a quoted field must end with a quote"),
        ("'type=image,annotationx=y'", "unknown-attribute"),
        ("'type=local,dest=${platform}'", "out-of-scope ${platform} has no meaning in a target"),
    ],
)
def test_output_faults(entry: str, expected: str) -> None:
    (fault,) = faults(TEXT.format(key="outputs", entry=entry))
    assert expected in fault
