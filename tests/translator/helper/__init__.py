"""The helper program."""
