"""Scores: what counts as a word and a sentence, ROUGE, intervals and the lead-n baseline."""
