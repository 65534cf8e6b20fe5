"""Models and tokenizers: pretrained, or random weights of any architecture and size."""
