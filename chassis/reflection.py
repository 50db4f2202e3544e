"""Reflection that shows the comments of the contract, which the generated code has dropped.

Invariant: what `protos/` says is what `grpcurl describe` shows. Must never: be needed for a call to
be served.
"""

import importlib.resources
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from grpc_reflection.v1alpha import reflection_pb2

SERVICE: Final = "grpc.reflection.v1alpha.ServerReflection"
# The same messages under a later name, for which the library has no code yet.
_SERVICE_V1: Final = "grpc.reflection.v1.ServerReflection"


class Reflection:
    """Describes the named services, and every message they use."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = sorted(names)
        # What the contract does not hold: health, the details of errors, reflection itself.
        self._pool = descriptor_pool.Default()
        self._files: dict[str, FileDescriptorProto] = {}
        self._file_of_symbol: dict[str, str] = {}
        packed = importlib.resources.files("oms").joinpath("descriptors.binpb").read_bytes()
        for file in FileDescriptorSet.FromString(packed).file:
            self._files[file.name] = file
            for symbol in _symbols(file):
                self._file_of_symbol[symbol] = file.name

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serves this under both names that clients know."""
        handler = grpc.stream_stream_rpc_method_handler(
            self.answer,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        handlers = {"ServerReflectionInfo": handler}
        server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(name, handlers)
                for name in (SERVICE, _SERVICE_V1)
            ]
        )

    async def answer(
        self,
        request_iterator: AsyncIterator[reflection_pb2.ServerReflectionRequest],
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002 - nothing can go wrong
    ) -> AsyncGenerator[reflection_pb2.ServerReflectionResponse, None]:
        """Answers each question with what is known, or with an error of its own."""
        async for request in request_iterator:
            response = self._answer(request)
            response.valid_host = request.host
            response.original_request.CopyFrom(request)
            yield response

    def _answer(
        self, request: reflection_pb2.ServerReflectionRequest
    ) -> reflection_pb2.ServerReflectionResponse:
        try:
            match request.WhichOneof("message_request"):
                case "list_services":
                    response = self._services()
                case "file_by_filename":
                    response = self._with_dependencies(request.file_by_filename)
                case "file_containing_symbol":
                    name = self._file_of(request.file_containing_symbol)
                    response = self._with_dependencies(name)
                case "file_containing_extension":
                    asked = request.file_containing_extension
                    name = self._file_of_extension(asked.containing_type, asked.extension_number)
                    response = self._with_dependencies(name)
                case "all_extension_numbers_of_type":
                    response = self._extensions(request.all_extension_numbers_of_type)
                case _:
                    response = _error(grpc.StatusCode.INVALID_ARGUMENT, "nothing is asked")
        except KeyError:
            return _error(grpc.StatusCode.NOT_FOUND, "not found")
        return response

    def _services(self) -> reflection_pb2.ServerReflectionResponse:
        services = [reflection_pb2.ServiceResponse(name=name) for name in self._names]
        return reflection_pb2.ServerReflectionResponse(
            list_services_response=reflection_pb2.ListServiceResponse(service=services)
        )

    def _extensions(self, type_name: str) -> reflection_pb2.ServerReflectionResponse:
        found = self._pool.FindAllExtensions(self._pool.FindMessageTypeByName(type_name))
        return reflection_pb2.ServerReflectionResponse(
            all_extension_numbers_response=reflection_pb2.ExtensionNumberResponse(
                base_type_name=type_name, extension_number=sorted(it.number for it in found)
            )
        )

    def _with_dependencies(self, name: str) -> reflection_pb2.ServerReflectionResponse:
        """The file and every file that it rests on. Raises KeyError where it is not known."""
        files: dict[str, FileDescriptorProto] = {}
        waiting = [name]
        while waiting:
            name = waiting.pop()
            if name not in files:
                files[name] = self._file(name)
                waiting.extend(files[name].dependency)
        return reflection_pb2.ServerReflectionResponse(
            file_descriptor_response=reflection_pb2.FileDescriptorResponse(
                file_descriptor_proto=[file.SerializeToString() for file in files.values()]
            )
        )

    def _file(self, name: str) -> FileDescriptorProto:
        if (file := self._files.get(name)) is not None:
            return file
        bare = FileDescriptorProto()
        self._pool.FindFileByName(name).CopyToProto(bare)
        return bare

    def _file_of(self, symbol: str) -> str:
        if (name := self._file_of_symbol.get(symbol)) is not None:
            return name
        return self._pool.FindFileContainingSymbol(symbol).name

    def _file_of_extension(self, type_name: str, number: int) -> str:
        extended = self._pool.FindMessageTypeByName(type_name)
        return self._file_of(self._pool.FindExtensionByNumber(extended, number).full_name)


def _symbols(file: FileDescriptorProto) -> Iterator[str]:
    """Every full name that a file defines: services and their methods, messages, fields, enums."""
    prefix = f"{file.package}." if file.package else ""
    for service in file.service:
        yield prefix + service.name
        for method in service.method:
            yield f"{prefix}{service.name}.{method.name}"
    for enum in file.enum_type:
        yield prefix + enum.name
        # Values of an enum are its siblings, by protobuf's rules.
        yield from (prefix + value.name for value in enum.value)
    for message in file.message_type:
        yield from _message_symbols(prefix, message)


def _message_symbols(prefix: str, message: DescriptorProto) -> Iterator[str]:
    name = prefix + message.name
    yield name
    yield from (f"{name}.{field.name}" for field in message.field)
    yield from (f"{name}.{oneof.name}" for oneof in message.oneof_decl)
    for enum in message.enum_type:
        yield f"{name}.{enum.name}"
        yield from (f"{name}.{value.name}" for value in enum.value)
    for nested in message.nested_type:
        yield from _message_symbols(f"{name}.", nested)


def _error(code: grpc.StatusCode, message: str) -> reflection_pb2.ServerReflectionResponse:
    return reflection_pb2.ServerReflectionResponse(
        error_response=reflection_pb2.ErrorResponse(error_code=code.value[0], error_message=message)
    )
