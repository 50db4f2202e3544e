"""Drives sagas through the participants, durably, and undoes what was done when one fails."""
