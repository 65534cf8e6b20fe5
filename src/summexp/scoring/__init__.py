"""Scores of summaries that exist already, from any system, without a model."""
