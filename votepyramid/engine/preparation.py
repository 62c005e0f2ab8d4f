"""What Temporal must have before any worker starts: a namespace, search attributes."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
)
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    RegisterNamespaceRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from workflows.attributes import SEARCH_ATTRIBUTES

log = structlog.get_logger(__name__)

RETENTION = timedelta(days=30)
TIMEOUT = timedelta(seconds=10)
WANTED = {
    name: IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{kind.upper()}")
    for name, kind in SEARCH_ATTRIBUTES.items()
}


async def prepare(client: Client, patience: float = 60.0) -> None:
    """Register what is missing and wait until it can be used. Safe to repeat.

    Raises TimeoutError when Temporal does not come up or does not take it.
    """
    async with asyncio.timeout(patience):
        while True:
            try:
                await _namespace(client)
                if not await missing(client):
                    return
                await _register(client)
            except (RPCError, RuntimeError) as error:
                log.info("temporal_not_ready", error=type(error).__name__)
            await asyncio.sleep(0.3)


async def retention(client: Client) -> timedelta:
    """How long Temporal keeps a workflow that has closed. Raises RPCError."""
    answer = await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=client.namespace), timeout=TIMEOUT
    )
    return answer.config.workflow_execution_retention_ttl.ToTimedelta()


async def missing(client: Client) -> list[str]:
    """Names of search attributes that are not registered, in order."""
    answer = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    known = dict(answer.custom_attributes)
    return sorted(name for name, kind in WANTED.items() if known.get(name) != kind)


async def _namespace(client: Client) -> None:
    try:
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=client.namespace)
        )
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        retention = Duration()
        retention.FromTimedelta(RETENTION)
        await client.workflow_service.register_namespace(
            RegisterNamespaceRequest(
                namespace=client.namespace,
                workflow_execution_retention_period=retention,
            )
        )


async def _register(client: Client) -> None:
    names = await missing(client)
    try:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace=client.namespace,
                search_attributes={name: WANTED[name] for name in names},
            )
        )
    except RPCError as error:
        # Two workers starting together: the other one registered it.
        if error.status != RPCStatusCode.ALREADY_EXISTS:
            raise
