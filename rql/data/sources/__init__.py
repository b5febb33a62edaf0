"""Where data sets come from: Minari, files with the keys of D4RL, scripted controllers."""
