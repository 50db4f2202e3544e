"""Serving: how a participant is read, and found well.

Invariant: each function looks at one promise. It must never change anything.
"""

from typing import Final

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest as _Question
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionResponse as _Answer

from console.conformance.answer import failed
from console.conformance.givens import made
from console.conformance.participant import Participant
from console.conformance.promise import Broken, Promise, expect

_SERVING: Final = health_pb2.HealthCheckResponse.SERVING


def _reads(it: Participant) -> None:
    request = it.sample()
    entity = made(it, request)
    there = it.get(it.id_of(request))
    expect(there.ok, f"of an id that was created, {there.told}")
    expect(it.entity(there) == entity, "Get shows another entity than Create answered with")


def _unknown(it: Participant) -> None:
    id_ = it.fresh_id()
    for time in ("the first time", "the second time"):
        answer = it.get(id_)
        expect(
            answer.code is grpc.StatusCode.NOT_FOUND,
            f"of an id never seen, {time}, {answer.told}, not NOT_FOUND",
        )


def _health(it: Participant) -> None:
    check = it.channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    for name in ("", it.kind.service):
        what = f"grpc.health.v1.Health/Check of {name!r}"
        request = health_pb2.HealthCheckRequest(service=name)
        try:
            status = check(request, timeout=it.knobs.call_seconds).status
        except grpc.RpcError as error:
            raise Broken(failed(what, error).told) from None
        told = health_pb2.HealthCheckResponse.ServingStatus.Name(status)
        expect(status == _SERVING, f"{what} answered {told}")


def _reflection(it: Participant) -> None:
    try:
        services = _ask(it, _Question(list_services=""))
        files = _ask(it, _Question(file_containing_symbol=it.kind.service))
    except grpc.RpcError as error:
        raise Broken(failed("ServerReflectionInfo", error).told) from None
    names = [service.name for service in services.list_services_response.service]
    expect(it.kind.service in names, f"{it.kind.service} is not among the listed services")
    described = {
        method.name
        for content in files.file_descriptor_response.file_descriptor_proto
        for service in FileDescriptorProto.FromString(content).service
        if it.kind.service.endswith(f".{service.name}")
        for method in service.method
    }
    missing = sorted({verb.rpc for verb in it.kind.verbs.values()} - described)
    expect(not missing, f"{it.kind.service} is described without {', '.join(missing)}")


def _ask(it: Participant, question: _Question) -> _Answer:
    """The one answer to one question."""
    ask = it.channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        request_serializer=_Question.SerializeToString,
        response_deserializer=_Answer.FromString,
    )
    answers = ask(iter([question]), timeout=it.knobs.call_seconds)
    try:
        for answer in answers:
            return answer
    finally:
        answers.cancel()
    raise Broken("ServerReflectionInfo ended without an answer")


PROMISES: Final = (
    Promise(
        name="reads",
        says="Get answers what Create answered",
        means="What was told is what is stored.",
        mend="Commit before answering, and read what was committed.",
        check=_reads,
    ),
    Promise(
        name="get-of-unknown",
        says="Get of an unknown id is NOT_FOUND, and stays so",
        means="A read must not make anything.",
        mend="Answer NOT_FOUND where there is no row.",
        check=_unknown,
    ),
    Promise(
        name="health",
        says="grpc.health.v1 says SERVING, for the server and for the service by its full name",
        means="Supervisors and load balancers ask it before they send anybody.",
        mend="Add the health service of your gRPC library; set both names when the database is "
        "there, NOT_SERVING while draining.",
        check=_health,
    ),
    Promise(
        name="reflection",
        says="grpcurl can describe the service without proto files",
        means="People look at a service with what they have at hand. A recommendation: it fails "
        "nothing.",
        mend="Add the reflection service (v1alpha) of your gRPC library.",
        check=_reflection,
        advice=True,
    ),
)
