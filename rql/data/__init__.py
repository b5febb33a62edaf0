"""Transitions: where they come from, what is checked, and how batches are drawn."""
