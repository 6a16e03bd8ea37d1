"""Processes that the helper (``translator.helper``) starts, for what a daemon does not do itself.

It is mounted below ``/dev``, as are secrets: a file system in memory that every container has of
its own, so that nothing of them stays in the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from translator.llb.graph import Detour, Edge, ExecOp, SessionFile, TreeMount, Use, Vertex

HOW = "by a helper program that this tool sends, which starts the command"

_PLACE = "/dev/.buildfile"
_CODES = "--codes="
_READABLE = 0o444  # by whichever user the step runs as


def wrapped(vertex: Vertex, op: ExecOp, source: Edge, file: str, lacking: Sequence[str]) -> Vertex:
    """The same process, started by the helper ``file`` in ``source``.

    ``lacking`` are the features that the daemon has not, of ``exec.secretenv`` and
    ``exec.validexitcode``.
    """
    secrets = op.secret_env if "exec.secretenv" in lacking else ()
    codes = op.valid_exit_codes if "exec.validexitcode" in lacking else ()
    places = [f"{_PLACE}/secrets/{number}" for number in range(len(secrets))]
    options = [
        f"--{'optional-' * secret.optional}secret={secret.name}={place}"
        for secret, place in zip(secrets, places, strict=True)
    ]
    if codes:
        options.append(f"{_CODES}{','.join(map(str, codes))}")
    inputs = tuple(dict.fromkeys((*vertex.inputs, source)))
    payload = replace(
        op,
        args=(f"{_PLACE}/helper/{file}", "run", *options, "--", *op.args),
        mounts=(
            *op.mounts,
            TreeMount(target=f"{_PLACE}/helper", input=inputs.index(source), readonly=True),
            *(
                SessionFile(
                    kind="secret",
                    target=place,
                    id=secret.id,
                    mode=_READABLE,
                    optional=secret.optional,
                )
                for secret, place in zip(secrets, places, strict=True)
            ),
        ),
        secret_env=() if secrets else op.secret_env,
        valid_exit_codes=() if codes else op.valid_exit_codes,
    )
    needed = ["exec.mount.bind", *["exec.mount.secret"] * bool(secrets)]
    return replace(
        vertex,
        payload=payload,
        inputs=inputs,
        uses=(
            *(use for use in vertex.uses if use.feature not in lacking),
            *(Use(feature, vertex.span) for feature in needed),
        ),
        detours=(*vertex.detours, *_detours(vertex, lacking)),
    )


def unwrapped(args: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words that start a wrapped process with its secrets, and the process's own."""
    if not args or not args[0].startswith(f"{_PLACE}/"):
        return (), tuple(args)
    start = args.index("--") + 1
    words = tuple(word for word in args[:start] if not word.startswith(_CODES))
    return words, tuple(args[start:])


def _detours(vertex: Vertex, lacking: Sequence[str]) -> tuple[Detour, ...]:
    uses = (use for use in vertex.uses if use.feature in lacking)
    return tuple(Detour(use.feature, HOW, use.span) for use in uses)
