"""The saga itself: what was defined, what happened, and what follows from the two.

Pure: standard library only, no clock, no chance, no input or output. Nothing in here knows what any
saga is about.
"""
