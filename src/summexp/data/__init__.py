"""Data: reading, checking, tokenizing, sampling and collating corpora."""
