"""Config: typed schema, composition from choices with Hydra, and validation."""
