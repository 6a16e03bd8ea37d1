"""Nodes to nouns: files merged, names resolved, targets and stages read."""
