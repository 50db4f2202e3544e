"""The saga log: the histories of all processes, and who runs which. See `protocol.SagaLog`."""
