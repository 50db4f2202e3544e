"""What the orchestrator can be told.

Invariant: every default works for somebody who set nothing, and every value that is taken can be
worked with: the shortest longest pause is longer than the longest shortest one. It must never be
read anywhere but where the service is wired.
"""

from typing import Final

from pydantic import Field, ValidationInfo, field_validator

from chassis.settings import DatabaseUrl, Listen, Settings, Target
from orchestrator.retention import Terms
from orchestrator.saga.definition import Policy
from orchestrator.saga.retry import RetryPolicy

_DAY_SECONDS = 86_400.0
_YEAR_SECONDS = 366 * _DAY_SECONDS
_KEPT_SECONDS_MAX: Final = 100 * _YEAR_SECONDS


class OrchestratorSettings(Settings):
    """The settings of the orchestrator."""

    orchestrator_listen: Listen = Field(
        default="127.0.0.1:50051", description="Where the orchestrator listens."
    )
    orchestrator_database_url: DatabaseUrl = Field(
        default="sqlite:///var/orchestrator.db",
        description="The saga log. A SQLite file is one orchestrator's alone; "
        "a PostgreSQL is shared by as many as there are.",
    )
    lease_seconds: float = Field(
        default=10.0,
        ge=0.5,
        le=600,
        allow_inf_nan=False,
        description="How long after its last heartbeat a replica that shares the saga log is "
        "taken for dead, and others go on with its processes.",
    )
    order_target: Target = Field(
        default="127.0.0.1:50052",
        description="Where the order service is dialled; dns:///host:port: all its replicas.",
    )
    payment_target: Target = Field(
        default="127.0.0.1:50053",
        description="Where the payment service is dialled; dns:///host:port: all its replicas.",
    )
    delivery_target: Target = Field(
        default="127.0.0.1:50054",
        description="Where the delivery service is dialled; dns:///host:port: all its replicas.",
    )
    attempt_timeout_seconds: float = Field(
        default=2.0,
        ge=0.001,
        le=3_600,
        allow_inf_nan=False,
        description="How long one attempt at a step or an undo may take.",
    )
    process_deadline_seconds: float = Field(
        default=60.0,
        ge=0.001,
        le=_YEAR_SECONDS,
        allow_inf_nan=False,
        description="How long the steps of a process are tried before it turns back.",
    )
    compensation_horizon_seconds: float = Field(
        default=_DAY_SECONDS,
        ge=0.001,
        le=_YEAR_SECONDS,
        allow_inf_nan=False,
        description="How long an undo is tried before its process is PARKED.",
    )
    backoff_seconds_min: float = Field(
        default=0.05,
        ge=0.001,
        le=1,
        allow_inf_nan=False,
        description="The shortest pause before an attempt is made again.",
    )
    step_backoff_seconds_max: float = Field(
        default=5.0,
        ge=1,
        le=3_600,
        allow_inf_nan=False,
        description="The longest pause before a step is tried again.",
    )
    undo_backoff_seconds_max: float = Field(
        default=300.0,
        ge=1,
        le=_DAY_SECONDS,
        allow_inf_nan=False,
        description="The longest pause before an undo is tried again.",
    )
    in_flight_max: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="How many processes run at once; more get RESOURCE_EXHAUSTED.",
    )
    outstanding_max: int = Field(
        default=1_000,
        ge=1,
        le=100_000,
        description="How many calls are outstanding at one participant at once.",
    )
    return_window_seconds: float = Field(
        default=14 * _DAY_SECONDS,
        ge=0,
        le=10 * _YEAR_SECONDS,
        allow_inf_nan=False,
        description="How long after it was COMPLETED a process can still be cancelled.",
    )

    retention_seconds: float = Field(
        default=0.0,
        ge=0,
        le=_KEPT_SECONDS_MAX,
        allow_inf_nan=False,
        description="How long a settled process is kept, with its order, payment and delivery; "
        "0 is for ever.",
    )
    request_id_retention_seconds: float = Field(
        default=0.0,
        ge=0,
        le=_KEPT_SECONDS_MAX,
        allow_inf_nan=False,
        description="How long the request id and the end of a process are kept; 0 is for ever.",
    )

    @field_validator("retention_seconds")
    @classmethod
    def _outlasts_every_return(cls, seconds: float, info: ValidationInfo) -> float:
        window = info.data.get("return_window_seconds", 0.0)
        horizon = info.data.get("compensation_horizon_seconds", 0.0)
        if seconds and seconds <= window + horizon:
            raise ValueError(
                f"must be more than the return window and the compensation horizon together, "
                f"{window + horizon:g}, so that what can still be returned can still be undone; "
                f"0 keeps everything for ever"
            )
        return seconds

    @field_validator("request_id_retention_seconds")
    @classmethod
    def _outlasts_the_process(cls, seconds: float, info: ValidationInfo) -> float:
        kept = info.data.get("retention_seconds", 0.0)
        if seconds and not kept:
            raise ValueError("needs OMS_RETENTION_SECONDS: without it every process is kept")
        if seconds and seconds < kept:
            raise ValueError(
                f"must be at least OMS_RETENTION_SECONDS, {kept:g}; 0 keeps request ids for ever"
            )
        return seconds

    def terms(self) -> Terms | None:
        """For how long settled processes are kept. None: for ever."""
        if not self.retention_seconds:
            return None
        return Terms(
            settled_seconds=self.retention_seconds,
            request_id_seconds=self.request_id_retention_seconds,
        )

    def policy(self) -> Policy:
        """How patient the order process is."""
        return Policy(
            attempt_timeout_seconds=self.attempt_timeout_seconds,
            step_retries=RetryPolicy(
                floor_seconds=self.backoff_seconds_min, cap_seconds=self.step_backoff_seconds_max
            ),
            undo_retries=RetryPolicy(
                floor_seconds=self.backoff_seconds_min, cap_seconds=self.undo_backoff_seconds_max
            ),
            compensation_horizon_seconds=self.compensation_horizon_seconds,
        )
