"""Tests of daemon_shim.registry."""
