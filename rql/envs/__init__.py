"""Environments: making them, and translating between their spaces and the agent's."""
