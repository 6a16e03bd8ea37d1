"""``buildfile schema``: for editors and other tools."""

from __future__ import annotations

import click


@click.command()
def command() -> None:
    """Print the JSON schema (draft 2020-12) of the build file.

    Save it beside your build file and put this line on top of the file, and an editor with a YAML
    language server completes and checks as you type:

    # yaml-language-server: $schema=./buildfile.schema.json
    """
    from schemas import buildfile_schema_text

    click.echo(buildfile_schema_text(), nl=False)
