"""The equations of residual Q-learning, one short function each.

Everything is written over a *weighted*: a set of actions with weights that stand for an expectation under π_BC (or
for an integral over actions). For discrete actions the weighted is the whole action set and every equation is exact;
for continuous actions it is a sample, and every equation is an importance-sampling estimate that converges to the
integral as the sample grows. `rql/method/weighted.py` is the only place that knows the difference.
"""
