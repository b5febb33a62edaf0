"""Making data sets: `python -m rql.collect` rolls out a policy and keeps its episodes."""
