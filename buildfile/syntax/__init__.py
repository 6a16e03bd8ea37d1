"""The build file as a frontend: ``# syntax=REGISTRY/buildfile:1`` in its first line.

``build`` in ``buildfile.syntax.build`` is the builder that runs in a container on the daemon. What
the command line has from the disk, it has from the client's session.
"""
