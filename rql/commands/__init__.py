"""The commands of `rql`, one module each."""
