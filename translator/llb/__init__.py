"""Typed stages to LLB: graph, lowerings, ops and bytes."""
