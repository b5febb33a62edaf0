"""Making data sets: `rql collect` rolls out a policy and keeps its episodes."""
