"""Metrics: ROUGE, BERTScore and others, with confidence intervals and the lead-n baseline."""
