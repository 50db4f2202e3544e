"""A saga of three steps that has nothing in common with orders, and another patience.

The last step cannot be undone and needs no undo: a letter that says what was booked is harmless.
"""

from orchestrator.saga.definition import Definition, Policy, Step
from orchestrator.saga.retry import RetryPolicy

JOURNEY = Definition(
    name="journey",
    version=3,
    steps=(
        Step(name="reserve_seat", undo="give_seat_back"),
        Step(name="book_room", undo="give_room_back"),
        Step(name="send_letter"),
    ),
    policy=Policy(
        attempt_timeout_seconds=10.0,
        step_retries=RetryPolicy(floor_seconds=1.0, cap_seconds=4.0),
        undo_retries=RetryPolicy(floor_seconds=1.0, cap_seconds=8.0),
        compensation_horizon_seconds=60.0,
    ),
)
