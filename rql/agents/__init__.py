"""The agent: its state as a tree of tensors, and the pure functions that update it and act with it."""
