"""What every service needs to run: clock, ids, faults, settings, server life cycle, storage.

The chassis knows no service: nothing in here may import one.
"""
