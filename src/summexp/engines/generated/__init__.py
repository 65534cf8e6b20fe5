"""Schemas that `tools/generate_schemas.py` writes from the installed transformers."""
