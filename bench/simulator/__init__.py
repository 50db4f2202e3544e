"""A simulator of the whole system in one thread: one world, two schedulers.

`explore` tries every fault at every point, and every pair; `simulate` draws faults from a seed.
Both run the product's own runner, saga, recovery, domains and payment protocol in virtual time, and
judge what came of it by rules of their own (`invariants`).
"""
