"""The stages of a run. Each trains step by step and reports its `Progress` from time to time."""
