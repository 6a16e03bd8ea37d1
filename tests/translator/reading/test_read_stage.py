from __future__ import annotations

from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass, replace
from typing import Any

import pytest

from tests.translator.loading import ARM64, ROOT, build, faults, table
from translator.platform import Platform
from translator.stage import (
    BindMount,
    CacheMount,
    Copy,
    Device,
    Diff,
    GitSource,
    Healthcheck,
    HttpSource,
    ImageOptions,
    ImageSource,
    InlineSource,
    LocalSource,
    Merge,
    Mkdir,
    OciLayoutSource,
    Remove,
    Resources,
    Run,
    Scratch,
    SecretMount,
    SetEnv,
    SetShell,
    SetUser,
    SetWorkdir,
    SshMount,
    Stage,
    StageRef,
    Symlink,
    TmpfsMount,
    Ulimit,
    Write,
)

SPAN = table("a: b").span
SHA = "0123456789abcdef" * 4
TEXT = """version: 1
vars: {{TAG: dev, MODE: "0700", ON: {{type: bool, default: true}}, ARGS: [a, b], \
PARTS: [base, src], LONE: [base]}}
secrets: {{token: {{env: T}}}}
ssh: {{default: {{}}, work: {{keys: [id]}}}}
sources:
  src: {{local: .}}
  other: {source}
stages:
  base: {{from: scratch}}
  s:
    {stage}
targets: {{t: {{stage: s}}}}
"""


def placeless(value: Any) -> Any:
    """``value`` with the same span everywhere."""
    if isinstance(value, tuple):
        return tuple(placeless(item) for item in value)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    changed = {f.name: placeless(getattr(value, f.name)) for f in dataclass_fields(value)}
    return replace(value, **(changed | ({"span": SPAN} if "span" in changed else {})))


def stage(text: str, source: str = "{image: x}", **more: Any) -> Stage:
    instance = build(TEXT.format(stage=text, source=source), **more)
    made: Stage = placeless(instance.stages[instance.root])
    return made


def wrong(text: str, source: str = "{image: x}") -> list[str]:
    return faults(TEXT.format(stage=text, source=source))


SRC = LocalSource(name="src", path=ROOT, span=SPAN)
BASE = StageRef("base", "linux-amd64")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{local: x/../y}", LocalSource(name="other", path=f"{ROOT}/y", span=SPAN)),
        (
            "{local: ., include: [a], exclude: ['*.o'], follow: [b], ignore-file: none}",
            LocalSource(
                name="other",
                path=ROOT,
                include=("a",),
                exclude=("*.o",),
                follow=("b",),
                ignore_file=False,
                span=SPAN,
            ),
        ),
        (
            "{image: 'a:${TAG}', resolve: pull, platform: linux/arm64/v8}",
            ImageSource(name="other", ref="a:dev", resolve="pull", platform=ARM64, span=SPAN),
        ),
        (
            f"{{git: 'https://x/y.git', ref: v1, commit: {SHA[:40]}, subdir: d, keep-git-dir: true,"
            " submodules: false, auth-token: token, auth-header: token, ssh: work}",
            GitSource(
                name="other",
                url="https://x/y.git",
                ref="v1",
                commit=SHA[:40],
                subdir="d",
                keep_git_dir=True,
                submodules=False,
                auth_token="token",
                auth_header="token",
                ssh="work",
                span=SPAN,
            ),
        ),
        (
            f"{{http: 'https://x/y', checksum: 'sha256:{SHA}', filename: f, chmod: 0755, uid: 1,"
            " gid: 2}",
            HttpSource(
                name="other",
                url="https://x/y",
                checksum=f"sha256:{SHA}",
                filename="f",
                chmod=0o755,
                uid=1,
                gid=2,
                span=SPAN,
            ),
        ),
        (
            "{oci-layout: base, ref: latest}",
            OciLayoutSource(name="other", path=f"{ROOT}/base", ref="latest", span=SPAN),
        ),
        (
            "{inline: {a/b.txt: 'x ${TAG}', c: 1}}",
            InlineSource(name="other", files=(("a/b.txt", "x dev"), ("c", "1")), span=SPAN),
        ),
    ],
)
def test_sources(source: str, expected: Any) -> None:
    assert stage("from: other", source).origin == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("scratch", Scratch(span=SPAN)),
        ("base", BASE),
        ("src", SRC),
        ("{image: y}", ImageSource(name="s:1", ref="y", span=SPAN)),
        ("'${env.FROM:-base}'", BASE),
    ],
)
def test_from(text: str, expected: Any) -> None:
    assert stage(f"from: {text}").origin == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("merge: [base, src]", Merge(inputs=(BASE, SRC), span=SPAN)),
        (
            "merge: [scratch, {image: y}]",
            Merge(
                inputs=(Scratch(span=SPAN), ImageSource(name="s:1", ref="y", span=SPAN)), span=SPAN
            ),
        ),
        ("merge: ['${env.FROM:-base}', src]", Merge(inputs=(BASE, SRC), span=SPAN)),
        ("merge: '${PARTS}'", Merge(inputs=(BASE, SRC), span=SPAN)),
        ("merge: ['${PARTS}', base]", Merge(inputs=(BASE, SRC, BASE), span=SPAN)),
        ("diff: {lower: base, upper: src}", Diff(lower=BASE, upper=SRC, span=SPAN)),
        (
            "diff: {lower: scratch, upper: base, x-why: y}",
            Diff(lower=Scratch(span=SPAN), upper=BASE, span=SPAN),
        ),
    ],
)
def test_merge_and_diff(text: str, expected: Any) -> None:
    made = stage(text + "\n    image: {user: u}\n    description: d")
    assert made.origin == expected
    assert made.image == ImageOptions(user="u", span=SPAN)
    assert made.steps == ()


def test_images_are_resolved_as_the_command_says_unless_the_file_does() -> None:
    text = """version: 1
sources: {said: {image: a, resolve: default}, base: {image: b}}
stages:
  made: {dockerfile: {}}
  other: {frontend: {image: x}}
  s: {merge: [said, base, {image: c}, made, other]}
targets: {t: {stage: s}}
"""
    stages = {ref.name: each for ref, each in build(text, resolve="pull").stages.items()}
    origins: Any = stages["s"].bases
    assert [each.resolve for each in origins[:3]] == ["default", "pull", "pull"]
    made: list[Any] = [stages[name].origin for name in ("made", "other")]
    assert [each.resolve for each in made] == ["pull", "pull"]


def step(text: str) -> Any:
    (made,) = stage(f"from: scratch\n    steps: [{text}]").steps
    return made


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{run: make}", Run(script="make", span=SPAN)),
        (
            "{run: 'for m in $x; do echo ${m##*/} $$ ${TAG}; done'}",
            Run(script="for m in $x; do echo ${m##*/} $$ ${TAG}; done", span=SPAN),
        ),
        ("{run: [go, '${TAG}', 1.20]}", Run(argv=("go", "dev", "1.20"), span=SPAN)),
        (
            "{run: x, env: {A: 1, B: 'no', C: '${TAG}'}, workdir: w, user: 1000, name: n}",
            Run(
                script="x",
                env=(("A", "1"), ("B", "no"), ("C", "dev")),
                workdir="w",
                user="1000",
                name="n",
                span=SPAN,
            ),
        ),
        (
            "{run: x, env: [A=1, 'B=x=${TAG}', A=2]}",
            Run(script="x", env=(("A", "2"), ("B", "x=dev")), span=SPAN),
        ),
        (
            "{run: x, network: none, security: insecure, hosts: {h: 1.2.3.4}, hostname: me,"
            " cache: false, valid-exit-codes: [0, 3]}",
            Run(
                script="x",
                network="none",
                security="insecure",
                hosts=(("h", "1.2.3.4"),),
                hostname="me",
                cache=False,
                valid_exit_codes=(0, 3),
                span=SPAN,
            ),
        ),
        (
            "{run: x, ulimits: {nofile: 1024, core: {soft: 0, hard: -1}},"
            " devices: [d, {name: e, optional: true}],"
            " resources: {memory: 64m, memory-swap: 1gb, cpu-shares: 2, cpuset-cpus: 0-1}}",
            Run(
                script="x",
                ulimits=(
                    Ulimit(name="nofile", soft=1024, hard=1024),
                    Ulimit(name="core", soft=0, hard=-1),
                ),
                devices=(Device(name="d"), Device(name="e", optional=True)),
                resources=Resources(
                    memory=64 << 20, memory_swap=1 << 30, cpu_shares=2, cpuset_cpus="0-1"
                ),
                span=SPAN,
            ),
        ),
        ("{copy: {from: src, to: /}}", Copy(origin=SRC, to="/", span=SPAN)),
        (
            "{copy: {from: base, paths: [a, 'b*'], to: d/, include: [i], exclude: [e],"
            " chown: 'u:g', chmod: u+x, unpack: true, follow-symlinks: '${ON}', contents: false,"
            " required: [r], name: n}}",
            Copy(
                origin=BASE,
                paths=("a", "b*"),
                to="d/",
                include=("i",),
                exclude=("e",),
                chown="u:g",
                chmod="u+x",
                unpack=True,
                follow_symlinks=True,
                contents=False,
                required=("r",),
                name="n",
                span=SPAN,
            ),
        ),
        ("{mkdir: {path: /d}}", Mkdir(path="/d", span=SPAN)),
        ("{mkdir: '/d/${TAG}'}", Mkdir(path="/d/dev", span=SPAN)),
        ("{remove: /d}", Remove(path="/d", span=SPAN)),
        (
            "{mkdir: {path: /d, mode: '${MODE}', parents: true, chown: u}}",
            Mkdir(path="/d", mode=0o700, parents=True, chown="u", span=SPAN),
        ),
        (
            "{write: {path: /f, text: 'é ${TAG}'}}",
            Write(path="/f", data="é dev".encode(), span=SPAN),
        ),
        ("{write: {path: /f, text: ''}}", Write(path="/f", data=b"", span=SPAN)),
        (
            "{write: {path: /f, base64: 'AP8=', mode: 0o600, chown: u}}",
            Write(path="/f", data=b"\x00\xff", mode=0o600, chown="u", span=SPAN),
        ),
        (
            "{remove: {path: /f, missing-ok: true, wildcard: true}}",
            Remove(path="/f", missing_ok=True, wildcard=True, span=SPAN),
        ),
        ("{symlink: {target: a, path: /b}}", Symlink(target="a", path="/b", span=SPAN)),
        ("{env: {A: b}}", SetEnv(env=(("A", "b"),), span=SPAN)),
        ("{workdir: /w}", SetWorkdir(path="/w", span=SPAN)),
        ("{user: u}", SetUser(user="u", span=SPAN)),
        ("{shell: [bash, -c]}", SetShell(argv=("bash", "-c"), span=SPAN)),
    ],
)
def test_steps(text: str, expected: Any) -> None:
    assert step(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "{type: bind, target: /t, from: src, source: /s, readwrite: true}",
            BindMount(target="/t", origin=SRC, source="/s", readwrite=True, span=SPAN),
        ),
        ("{type: cache, target: /t}", CacheMount(target="/t", id="/t", span=SPAN)),
        (
            "{type: cache, target: /t, id: 'i-${TAG}', sharing: locked, from: base}",
            CacheMount(target="/t", id="i-dev", sharing="locked", origin=BASE, span=SPAN),
        ),
        ("{type: tmpfs, target: /t, size: 1k}", TmpfsMount(target="/t", size=1024, span=SPAN)),
        (
            "{type: secret, id: token}",
            SecretMount(id="token", target="/run/secrets/token", span=SPAN),
        ),
        ("{type: secret, id: token, env: T}", SecretMount(id="token", env="T", span=SPAN)),
        (
            "{type: secret, id: token, target: /t, mode: 0440, uid: 1, gid: 2, optional: true}",
            SecretMount(
                id="token", target="/t", mode=0o440, uid=1, gid=2, optional=True, span=SPAN
            ),
        ),
        ("{type: ssh}", SshMount(span=SPAN)),
        ("{type: ssh, id: work, target: /a}", SshMount(id="work", target="/a", span=SPAN)),
    ],
)
def test_mounts(text: str, expected: Any) -> None:
    assert step(f"{{run: x, mounts: [{text}]}}").mounts == (expected,)


def test_stage_defaults_and_image() -> None:
    made = stage(
        """from: scratch
    workdir: /w
    env: {A: '1'}
    user: u
    shell: [bash, -ec]
    network: host
    image:
      entrypoint: [/e, '${TAG}']
      cmd: []
      env: {B: '2'}
      workdir: /x
      user: 65532
      labels: {l: '${TAG}'}
      expose: [8080, 53/udp]
      volumes: [/v]
      stop-signal: SIGINT
      healthcheck: {test: [curl, x], interval: 1m30s, timeout: 1.5s, retries: 3}
      shell: '${ARGS}'
      author: me"""
    )
    assert (made.workdir, made.env, made.user, made.shell, made.network) == (
        "/w",
        (("A", "1"),),
        "u",
        ("bash", "-ec"),
        "host",
    )
    assert made.image == ImageOptions(
        entrypoint=("/e", "dev"),
        cmd=(),
        env=(("B", "2"),),
        workdir="/x",
        user="65532",
        labels=(("l", "dev"),),
        expose=("8080", "53/udp"),
        volumes=("/v",),
        stop_signal="SIGINT",
        healthcheck=Healthcheck(
            test=("CMD", "curl", "x"), interval=90_000_000_000, timeout=1_500_000_000, retries=3
        ),
        shell=("a", "b"),
        author="me",
        span=SPAN,
    )


@pytest.mark.parametrize("text", ["[NONE]", "[CMD, x]", "[CMD-SHELL, 'x y']"])
def test_a_healthcheck_that_names_its_form_is_kept(text: str) -> None:
    made = stage(f"from: scratch\n    image: {{healthcheck: {{test: {text}}}}}")
    assert made.image and made.image.healthcheck
    assert made.image.healthcheck.test[0] in ("NONE", "CMD", "CMD-SHELL")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("merge: '${TAG}'", "11:12 wrong-type expected a list, found a string"),
        ("merge: ['${PARTS}', bas]", "11:25 unknown-origin there is no stage or source bas"),
        ("merge: ['${TAG}', base]", "11:13 unknown-origin there is no stage or source dev"),
        ("merge: ['${LONE}']", "11:12 too-few merge lays two or more over one another"),
        ("diff: {lower: base, upper: bas}", "11:32 unknown-origin there is no stage or source bas"),
        ("from: bas", "11:11 unknown-origin there is no stage or source bas"),
        ("from: alpine:3", "11:11 unknown-origin there is no stage or source alpine:3"),
        ("from: '${TAG}'", "11:11 unknown-origin there is no stage or source dev"),
        ("from: {image: '${ARGS}'}", "11:19 wrong-type expected a string, found a list"),
        ("from: {local: ../x}", "outside-folders /x is outside of the folders"),
        ("from: scratch\n    network: '${TAG}'", "12:14 bad-value 'dev' is none of sandbox, host"),
        ("from: scratch\n    platform: '${TAG}'", "12:15 bad-value 'dev' is not a platform"),
        ("from: scratch\n    env: '${TAG}'", "12:10 wrong-type expected a map, found a string"),
        ("from: scratch\n    env: ['${TAG}']", "12:11 bad-value 'dev' is not an assignment"),
        ("from: scratch\n    shell: '${ON}'", "12:12 wrong-type expected a list, found a boolean"),
    ],
)
def test_stage_faults(text: str, expected: str) -> None:
    found = wrong(text)
    assert len(found) == 1
    assert expected in found[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{copy: {from: sr, to: /}}", "unknown-origin there is no stage or source sr"),
        ("{copy: {from: src, to: /, unpack: '${TAG}'}}", "expected true or false, found a string"),
        ("{mkdir: {path: /, mode: '${TAG}'}}", "bad-value 'dev' is not an octal mode"),
        ("{write: {path: /, base64: 'xx${TAG}'}}", "bad-value 'xxdev' is not base64"),
        ("{run: ['${A']}", "bad-reference ${ has no closing brace"),
        ("{run: x, mounts: [{type: secret, id: tok}]}", "unknown-secret there is no secret tok"),
        ("{run: x, mounts: [{type: ssh, id: d}]}", "unknown-ssh-agent there is no SSH agent d"),
        ("{run: x, mounts: [{type: bind, target: /, from: q}]}", "no stage or source q"),
        ("{run: x, mounts: [{type: tmpfs, target: /, size: '${TAG}'}]}", "is not a size"),
        ("{run: x, valid-exit-codes: ['${TAG}']}", "expected a whole number, found a string"),
        ("{run: x, ulimits: {nofile: '${TAG}'}}", "'dev' is not a limit"),
        ("{run: x, nonsense: 1}", "nonsense"),
        ("{run: x, mounts: [{type: secret, id: token, env: A, target: /b}]}", "exclu"),
    ],
)
def test_step_faults(text: str, expected: str) -> None:
    found = wrong(f"from: scratch\n    steps: [{text}]")
    assert len(found) == 1
    assert expected in found[0]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{local: '${env.NONE:-}'}", "bad-value '' is not filled in"),
        ("{image: '${env.NONE:-}'}", "bad-value '' is not filled in"),
        ("{local: /etc}", "outside-folders /etc is outside of the folders"),
        ("{git: x, commit: '${TAG}'}", "'dev' is not a commit"),
        ("{git: x, auth-token: tok}", "unknown-secret there is no secret tok"),
        ("{git: x, ssh: wor}", "unknown-ssh-agent there is no SSH agent wor"),
        ("{http: x, checksum: '${TAG}'}", "'dev' is not a checksum"),
        ("{image: x, platform: '${TAG}'}", "'dev' is not a platform"),
        ("{image: 'x-${target.name}'}", "there is no target.name"),
    ],
)
def test_faults_of_sources_that_nothing_uses_are_found(source: str, expected: str) -> None:
    found = wrong("from: scratch", source)
    assert len(found) == 1
    assert expected in found[0]


def test_secrets_and_agents_of_the_command_line_are_known() -> None:
    text = TEXT.format(
        source="{image: x}",
        stage="from: scratch\n    steps:\n"
        "      - {run: x, mounts: [{type: secret, id: a}, {type: ssh, id: b}]}",
    )
    assert len(faults(text)) == 2
    assert faults(text, secrets=("a",), ssh=("b",)) == []


def test_platform_of_an_image_keeps_what_the_file_says() -> None:
    origin = stage("from: {image: x, platform: linux/arm/v7}").origin
    assert isinstance(origin, ImageSource)
    assert origin.platform == Platform("linux", "arm", "v7")
