"""The equations of residual Q-learning, one short function each.

Everything is written over *weighted actions*: a set of actions whose weights stand for an expectation under π_BC, or
for an integral over actions. For discrete actions the set holds all of them and every equation is exact; for continuous
actions it is a sample, and every equation is an importance-sampling estimate that converges to the integral as the
sample grows. `rql/method/actions.py` is the only place that knows the difference.
"""
