"""Sweeps: jobs with an identity, that run once however often the sweep is started."""
