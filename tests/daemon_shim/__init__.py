"""Tests of daemon_shim."""
