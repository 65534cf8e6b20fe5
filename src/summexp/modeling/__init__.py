"""Modeling: models and tokenizers, pretrained or with random weights; LoRA adapters."""
