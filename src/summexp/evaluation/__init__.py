"""Evaluation, the same for every engine: loss, generation and long documents."""
