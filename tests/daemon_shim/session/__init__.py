"""Tests of daemon_shim.session."""
