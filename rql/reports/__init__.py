"""What a run found, made from its local record alone."""
