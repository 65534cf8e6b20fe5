"""Corpora: read, checked, tokenized, sampled and collated."""
