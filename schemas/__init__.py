"""Schemas shared by the other packages: of the build file, of daemons.toml and of the wire.

``schemas.proto`` holds the protocol as this project writes it down, ``schemas.pb`` the code
generated from it, ``schemas.rpc`` the calls. Nothing is imported from here, so that a command
which needs one of them does not load the others.
"""

from pathlib import Path


def buildfile_schema_text() -> str:
    """The JSON schema (draft 2020-12) of the build file."""
    return Path(__file__).with_name("buildfile.schema.json").read_text(encoding="utf-8")


def daemons_schema_text() -> str:
    """The JSON schema (draft 2020-12) of daemons.toml."""
    return Path(__file__).with_name("daemons.schema.json").read_text(encoding="utf-8")
