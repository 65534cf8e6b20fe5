"""Experiments in text summarization, configured by one tree of small YAML files."""
