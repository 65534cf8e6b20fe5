"""The typed config: its schema, its composition from choices, and what is wrong with it."""
