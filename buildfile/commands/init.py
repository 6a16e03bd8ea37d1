"""``buildfile init``: a first build file that builds as it stands."""

from __future__ import annotations

from pathlib import Path

import click

from buildfile.exits import UsageError
from buildfile.files import FILE_NAMES

FIRST_FILE = """\
# yaml-language-server: $schema=./buildfile.schema.json
# A build file for BuildKit. Try it: buildfile check, buildfile plan, buildfile build
version: 1

vars:
  # Set with --var BASE=... or the environment variable BASE.
  BASE: {type: string, default: "docker.io/library/alpine:3.20", description: image to build on}

sources:
  # Only what a step uses is sent to the daemon. A .dockerignore in the folder is honoured.
  src: {local: ., exclude: [out]}

stages:
  compile:
    from: {image: "${BASE}"}
    workdir: /src
    steps:
      - copy: {from: src, to: ./}
      # The text of a script is passed to the shell as it stands; values come in through env.
      - run: |
          mkdir -p /out
          ls > /out/files.txt
        env: {LC_ALL: C}
        mounts:
          - {type: cache, target: /root/.cache}

  app:
    from: scratch
    steps:
      - copy: {from: compile, paths: [/out/files.txt], to: /files.txt}

targets:
  files:
    description: the list of this folder's files, on disk under out/
    stage: app
    outputs: [{type: local, dest: out}]

groups:
  default: [files]
"""


@click.command()
@click.argument("file", default=FILE_NAMES[0])
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def command(file: str, force: bool) -> None:
    """Write a commented first build file (FILE, default buildfile.yaml)."""
    try:
        with Path(file).open("w" if force else "x", encoding="utf-8") as out:
            out.write(FIRST_FILE)
    except FileExistsError as error:
        raise UsageError(f"{file} is there already", hint="replace it with --force") from error
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}") from error
    click.echo(f"wrote {file}; next: buildfile check, buildfile build", err=True)
