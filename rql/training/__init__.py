"""The three stages. Each is a generator that trains and yields a `Tick` at times; who listens is not its business."""
