"""How fast order processes are: contenders on the same work, in one run, a round after the other.

Invariant: what is compared was measured in the same round, on the same participants, by the same
load. Must never: change what a service does; all are told by settings and asked over gRPC.
"""
