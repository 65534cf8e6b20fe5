"""What every engine evaluates with: the loss, generation, long documents, and their settings."""
