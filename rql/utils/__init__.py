"""Errors, files, trees of arrays, memory and random numbers: what every other room may use."""
