"""Optimisers as pure functions over trees of parameters."""
