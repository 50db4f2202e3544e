"""A participant, as a saga meets it: calls with a deadline, and their answers.

Invariant: every call has a deadline and carries what the orchestrator's carry. An id or a subject
is never drawn twice, so nothing that a participant already holds is touched. It must never judge.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.message import Message

from console.conformance.answer import Answer, failed
from console.conformance.kind import Entity, Kind, Request
from console.conformance.knobs import Knobs

_OPTIONS: Final = (
    # An attempt is counted here or nowhere.
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)
_METADATA: Final = (("oms-process-id", "prc_conformance"),)
# After these a Create has left nothing that would have to be cancelled.
_WITHOUT_EFFECT: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
    }
)
_PAUSE_SECONDS: Final = 0.02
_PAUSE_SECONDS_MAX: Final = 0.5


class NotThere(Exception):  # noqa: N818 - named by what it says
    """Nothing answers, or something else does. The text says so for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A call that has left and whose answer is not waited for yet."""

    call: str
    future: Any
    read: Callable[[Message], Answer]
    note: Callable[[Answer], None]

    def answer(self) -> Answer:
        """Waits for the answer, until the call's deadline at the most."""
        try:
            answer = self.read(self.future.result())
        except grpc.RpcError as error:
            answer = failed(self.call, error)
        self.note(answer)
        return answer


class Participant:
    """One implementation at one address. Closed by whoever opens it."""

    def __init__(self, kind: Kind, target: str, knobs: Knobs) -> None:
        self.kind = kind
        self.target = target
        self.knobs = knobs
        self.channel = grpc.insecure_channel(target, options=_OPTIONS)
        # In order, and each once.
        self._left: dict[str, None] = {}
        self._rpcs = {
            verb: self.channel.unary_unary(
                f"/{kind.service}/{its.rpc}",
                request_serializer=its.request.SerializeToString,
                response_deserializer=its.response.FromString,
            )
            for verb, its in kind.verbs.items()
        }

    def tidy(self) -> None:
        """Cancels what was created and may still hold money or a courier; nobody judges that."""
        left = list(self._left)
        self._left.clear()
        for first in range(0, len(left), self.knobs.at_once):
            some = left[first : first + self.knobs.at_once]
            for sent in [self.send_cancel(id_) for id_ in some]:
                sent.answer()

    def close(self) -> None:
        """Lets go of the connection."""
        self.channel.close()

    def introduce(self) -> None:
        """Makes sure that somebody is there who has the service.

        Raises:
            NotThere: Nobody is, or somebody else.
        """
        try:
            grpc.channel_ready_future(self.channel).result(timeout=self.knobs.call_seconds)
        except grpc.FutureTimeoutError:
            raise NotThere(
                f"nothing answers at {self.target}: start the {self.kind.name} participant, "
                "or name the address it listens on"
            ) from None
        if self.get(self.fresh_id()).code is grpc.StatusCode.UNIMPLEMENTED:
            raise NotThere(f"what answers at {self.target} does not serve {self.kind.service}")

    def fresh_id(self) -> str:
        """An id that nobody has used."""
        return f"{self.kind.id_prefix}_{uuid.uuid4().hex}"

    def fresh_subject(self) -> str:
        """A subject of which nothing is listed yet."""
        return f"conformance-{uuid.uuid4().hex}"

    def sample(self, *, id_: str | None = None, subject: str | None = None) -> Request:
        """A good Create. The id is a fresh one where none is given; "" leaves it out."""
        request = self.kind.sample(self.knobs, subject or self.fresh_subject())
        setattr(request, self.kind.id_field, self.fresh_id() if id_ is None else id_)
        return request

    def id_of(self, message: Request | Entity) -> str:
        """The id in a request or an entity."""
        return str(getattr(message, self.kind.id_field))

    def state_of(self, entity: Entity) -> str:
        """The state, by its name in the contract without the prefix."""
        names = {number: name for name, number in self.kind.states.items()}
        return names.get(entity.state, str(entity.state))

    def create(self, request: Request) -> Answer:
        """Create, asked again until the answer is one."""
        return self._until_answered("create", request)

    def confirm(self, id_: str) -> Answer:
        """Confirm, asked again until the answer is one."""
        return self._until_answered("confirm", self._naming("confirm", id_))

    def cancel(self, id_: str) -> Answer:
        """Cancel, asked again until the answer is one."""
        return self._until_answered("cancel", self._naming("cancel", id_))

    def get(self, id_: str) -> Answer:
        """Get."""
        return self.send("get", self._naming("get", id_)).answer()

    def listed(self, **fields: object) -> Answer:
        """List, with the fields of its request."""
        return self.send("list", self.kind.verbs["list"].request(**fields)).answer()

    def once(self, verb: str, id_: str) -> Answer:
        """An RPC that names an id, asked once."""
        return self.send(verb, self._naming(verb, id_)).answer()

    def send(self, verb: str, request: Request, *, seconds: float | None = None) -> Sent:
        """Any RPC, not waited for."""
        rpc = self.kind.verbs[verb].rpc
        future = self._rpcs[verb].future(
            request, timeout=seconds or self.knobs.call_seconds, metadata=_METADATA
        )
        return Sent(
            call=rpc,
            future=future,
            read=lambda reply: self._read(verb, reply),
            note=lambda answer: self._note(verb, request, answer),
        )

    def send_cancel(self, id_: str, *, seconds: float | None = None) -> Sent:
        """Cancel, not waited for."""
        return self.send("cancel", self._naming("cancel", id_), seconds=seconds)

    def entities(self, answer: Answer) -> list[Entity]:
        """What a List replied."""
        return list(getattr(answer.reply, self.kind.entities))

    def entity(self, answer: Answer) -> Entity:
        """What any other RPC replied."""
        return getattr(answer.reply, self.kind.entity)

    def _naming(self, verb: str, id_: str) -> Request:
        return self.kind.verbs[verb].request(**{self.kind.id_field: id_})

    def _note(self, verb: str, request: Request, answer: Answer) -> None:
        """Remembers what a Create may have left."""
        if verb == "create" and answer.code not in _WITHOUT_EFFECT:
            entity = self.entity(answer) if answer.ok else request
            self._left[self.id_of(entity) or self.id_of(request)] = None

    def _read(self, verb: str, reply: Message) -> Answer:
        state = "" if verb == "list" else self.state_of(getattr(reply, self.kind.entity))
        rpc = self.kind.verbs[verb].rpc
        return Answer(call=rpc, code=grpc.StatusCode.OK, reply=reply, state=state)

    def _until_answered(self, verb: str, request: Request) -> Answer:
        give_up = time.monotonic() + self.knobs.patience_seconds
        pause = _PAUSE_SECONDS
        while True:
            answer = self.send(verb, request).answer()
            if not answer.passing or time.monotonic() + pause > give_up:
                return answer
            # Nothing tells when a participant that said "ask again" is ready: it has to be asked.
            time.sleep(pause)
            pause = min(pause * 2, _PAUSE_SECONDS_MAX)
