"""A saga of the order process's shape: the undo of one step may also undo a later one."""

from orchestrator.saga.definition import Definition, Step

FIVE_STEPS = Definition(
    name="five_steps",
    version=1,
    steps=(
        Step(name="create_order", undo="cancel_order"),
        Step(name="process_payment", undo="cancel_payment"),
        Step(name="confirm_payment", covered_by="cancel_payment"),
        Step(name="confirm_order", covered_by="cancel_order"),
        Step(name="process_delivery", undo="cancel_delivery"),
    ),
)
