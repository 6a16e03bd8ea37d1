"""The one error of the test support."""


class UnavailableError(Exception):
    """Something for the tests cannot be had on this machine; the text says why."""
