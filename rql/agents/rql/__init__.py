"""Residual Q-learning: clone π_BC, learn Q_R where deviating from it pays, act with π_final ∝ π_BC · exp(β Q_R).

Read `agent` first. `residual` is what is learned, `composition` how π_final is sampled, `actions` what differs between
discrete and continuous actions, `schedule` how β and α_CQL move, `build` how all of it follows from the configuration.
"""
