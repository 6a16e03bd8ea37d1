"""Address to byte stream."""
