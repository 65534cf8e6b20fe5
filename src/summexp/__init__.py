"""Training and evaluation of summarization models, configured by Hydra."""
