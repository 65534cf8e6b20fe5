"""Reports of a run: HTML and Markdown pages, model card, and terminal summary."""
