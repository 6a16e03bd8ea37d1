"""``buildfile schema``: for editors and other tools."""

from __future__ import annotations

import click


@click.command()
@click.argument("file", type=click.Choice(["buildfile", "daemons"]), default="buildfile")
def command(file: str) -> None:
    """Print the JSON schema (draft 2020-12) of the build file, or of daemons.toml.

    Save it beside your build file and put this line on top of the file, and an editor with a YAML
    language server completes and checks as you type:

    # yaml-language-server: $schema=./buildfile.schema.json
    """
    import schemas

    texts = {"buildfile": schemas.buildfile_schema_text, "daemons": schemas.daemons_schema_text}
    click.echo(texts[file](), nl=False)
