"""Policies that are there already, as priors: from files, other packages, code of your own, or other processes."""
