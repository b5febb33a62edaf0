"""One run: its folder and record, its stages and checkpoints, and how it ends and goes on."""
