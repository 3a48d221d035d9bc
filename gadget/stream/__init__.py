"""Nodes and servers."""
