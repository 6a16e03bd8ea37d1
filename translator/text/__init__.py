"""Text to checked nodes: YAML with positions, and the schema."""
