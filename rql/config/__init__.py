"""The configuration: schema, registration with Hydra, and checks that come before any work.

Nothing here imports torch, so that `python run.py --help` answers at once.
"""
