"""Benches: run by hand, never in tests."""
