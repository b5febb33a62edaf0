"""The record of a run: local files are the truth, Weights & Biases shows the same numbers."""
