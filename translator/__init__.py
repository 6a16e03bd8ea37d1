"""Build file to LLB definition.

Pure: no network, no clock, no environment but what is handed in.
"""
