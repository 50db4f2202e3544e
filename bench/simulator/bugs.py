"""Planted bugs: each takes one safety mechanism away, to see that the simulator notices.

Invariant: a bug is there only as long as it is planted, and is switched on by nothing but tests and
the `bugs` command. Must never: be reachable from the product.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

from bench.simulator import bugs_of_participants as participants
from bench.simulator import bugs_of_the_log as log
from bench.simulator import bugs_of_the_saga as saga

_PLANTS: Final = MappingProxyType(
    {
        "no-tombstone": (
            "a cancel of an id never seen is answered, but not stored",
            participants.no_tombstone,
        ),
        "upsert-over-tombstone": (
            "a create is an upsert, and overwrites a cancelled payment",
            participants.upsert_over_tombstone,
        ),
        "create-overwrites": (
            "a second create with the same id begins the order afresh",
            participants.create_overwrites,
        ),
        "fresh-id-on-retry": (
            "every attempt to create a payment draws an id of its own",
            participants.fresh_id_on_retry,
        ),
        "gateway-before-intent": (
            "the gateway is asked before it is stored that it is",
            participants.gateway_before_intent,
        ),
        "intent-not-durable": (
            "an attempt is written with its outcome, not before its call",
            log.intent_not_durable,
        ),
        "no-epoch-check": (
            "an append does not prove that the process is still the writer's",
            log.no_epoch_check,
        ),
        "claim-keeps-epoch": (
            "whoever takes a process over does not raise its epoch",
            log.claim_keeps_epoch,
        ),
        "last-writer-wins": (
            "an append overwrites what was appended since it was decided",
            log.last_writer_wins,
        ),
        "stale-recovery-read": (
            "recovery goes on from a history that it read before it claimed",
            log.stale_recovery_read,
        ),
        "orphans-stay": (
            "nobody claims what a dead orchestrator owned",
            log.orphans_stay,
        ),
        "unavailable-is-not-applied": (
            "UNAVAILABLE is taken for: not applied",
            saga.unavailable_is_not_applied,
        ),
        "unknown-step-not-undone": (
            "a step of which nobody knows whether it was done is not undone",
            saga.unknown_step_not_undone,
        ),
        "rejection-settles-doubt": (
            "a step that was rejected counts as not done, whatever came of an attempt before",
            saga.rejection_settles_doubt,
        ),
        "cut-short-is-not-sent": (
            "an attempt without an outcome is taken for never made",
            saga.cut_short_is_not_sent,
        ),
        "cancel-lost": (
            "a Cancel that comes between a decision and its append is read, and forgotten",
            saga.cancel_lost,
        ),
        "undos-oldest-first": ("undos run in the order of the steps", saga.undos_oldest_first),
        "rejected-undo-is-done": (
            "an undo that is rejected counts as done, for there is nothing more to do",
            saga.rejected_undo_is_done,
        ),
    }
)

BUGS: Final[Mapping[str, str]] = MappingProxyType(
    {name: sentence for name, (sentence, _) in _PLANTS.items()}
)
"""The name of each bug, and what it is."""


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Has a bug be there for as long as the block lasts. No name: none."""
    if not name:
        yield
        return
    with _PLANTS[name][1]():
        yield
