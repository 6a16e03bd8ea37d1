"""Instances cut in two."""

from __future__ import annotations

import json

from schemas.pb import ops_pb2 as pb
from tests.translator.stages import AMD64, HERE, SCRATCH, image, run
from translator.compile import compile_instances, images_needed
from translator.cut import cut, upto
from translator.stage import Copy, Instance, OciLayoutSource, Stage, StageRef

BASE, GIVEN, SIDE, TAKEN = (StageRef(name) for name in ("base", "given", "side", "taken"))
DIGEST = f"sha256:{'1' * 64}"
CONFIG = json.dumps({"config": {"Env": ["A=b"], "User": "me", "WorkingDir": "/work"}}).encode()


def stage(ref: StageRef, origin: object, *steps: object) -> Stage:
    return Stage(ref=ref, platform=AMD64, origin=origin, steps=steps, span=HERE)  # type: ignore[arg-type]


def instance() -> Instance:
    stages = (
        stage(BASE, image()),
        stage(GIVEN, BASE, run("make")),
        stage(SIDE, image("side")),
        stage(TAKEN, GIVEN, run("use"), Copy(origin=SIDE, to="/", span=HERE)),
    )
    return Instance(root=TAKEN, platform=AMD64, stages={each.ref: each for each in stages})


def given() -> Stage:
    layout = OciLayoutSource(name="given", path="/layout", digest=DIGEST, span=HERE)
    return Stage(ref=GIVEN, platform=AMD64, origin=layout, config=CONFIG, span=HERE)


def test_what_a_stage_needs_is_its_own_instance() -> None:
    part = upto(instance(), GIVEN)
    assert (part.root, list(part.stages)) == (GIVEN, [BASE, GIVEN])


def test_what_is_built_elsewhere_is_left_out() -> None:
    part = cut(instance(), {GIVEN: given()})
    assert (part.root, list(part.stages)) == (TAKEN, [GIVEN, SIDE, TAKEN])
    assert [need.ref for need in images_needed([part])] == ["docker.io/library/side:latest"]


def test_the_root_itself_may_be_built_elsewhere() -> None:
    stand_in = Stage(ref=TAKEN, platform=AMD64, origin=SCRATCH, span=HERE)
    assert list(cut(instance(), {TAKEN: stand_in}).stages) == [TAKEN]


def test_a_config_carries_over_from_what_was_built_elsewhere() -> None:
    (compiled,) = compile_instances([cut(instance(), {GIVEN: given()})])
    (use,) = [op.exec.meta for op in _ops(compiled.definition) if op.HasField("exec")]
    assert ("A=b" in use.env, use.user, use.cwd) == (True, "me", "/work")
    assert json.loads(compiled.image_config)["config"]["User"] == "me"
    assert list(compiled.stores.values()) == ["/layout"]
    sources = [op.source.identifier for op in _ops(compiled.definition) if op.HasField("source")]
    assert any(each.startswith("oci-layout://") and each.endswith(DIGEST) for each in sources)


def test_instances_that_are_given_the_same_share_it() -> None:
    stand_in = given()
    parts = [cut(instance(), {GIVEN: stand_in}) for _ in range(2)]
    one, other = compile_instances(parts)
    assert one.definition == other.definition


def _ops(definition: bytes) -> list[pb.Op]:
    return [pb.Op.FromString(data) for data in getattr(pb.Definition.FromString(definition), "def")]
