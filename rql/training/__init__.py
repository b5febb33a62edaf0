"""The three stages. Each is a generator that trains and now and then yields a `Tick`; it knows nothing of its audience."""
