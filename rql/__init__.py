"""Residual Q-learning: clone a policy from demonstrations, learn where deviating from it pays, finetune online."""

__version__ = "0.1.0"
