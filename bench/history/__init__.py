"""A long history: does what the saga log does cost more pages, the more processes are settled?

Invariant: what is measured are the statements that the product itself sends, as it sends them, on a
real PostgreSQL that the product's own migrations have set up; nothing of its SQL is written down
here a second time. What is compared is a count of pages, never a time.
"""
