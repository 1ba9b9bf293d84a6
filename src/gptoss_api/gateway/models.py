"""The list of models that the gateway offers: what its upstreams serve, under every name they have for it."""

import asyncio
from collections.abc import Sequence
from typing import Final

from ..core.catalog import MODELS, SAFEGUARDS, Model, find_model
from ..core.errors import GatewayError, ModelNotFound
from ..upstreams.base import Backend, ServedModel

# As long as a person would wait for a list, in seconds.
LIST_TIME: Final = 3.0


async def list_models(upstreams: Sequence[Backend]) -> list[Model]:
    """What ``upstreams`` serve: canonical ids first, then their own names that clients may ask for.

    Both canonical ids are there where there are upstreams and none of them tells.
    """
    lists = await asyncio.gather(*(_served(upstream) for upstream in upstreams))
    own: dict[str, Model] = {}
    served: set[str] = set()
    for upstream, models in zip(upstreams, lists, strict=True):
        for model in models:
            served.add(model.id)
            if model.name != model.id and (known := _known(model.name)) is not None:
                created = known.created
                own.setdefault(
                    model.name, Model(model.name, known.display_name, created, owned_by=upstream.name)
                )
    canonical = [model for model in MODELS if (upstreams and not served) or model.id in served]
    listed = [model for model in SAFEGUARDS if model.id in served]
    return [*canonical, *listed, *own.values()]


async def _served(upstream: Backend) -> Sequence[ServedModel]:
    try:
        async with asyncio.timeout(LIST_TIME):
            return await upstream.models()
    except (GatewayError, TimeoutError):
        return ()


def _known(name: str) -> Model | None:
    """The model that clients mean by ``name``, if it is one that they may ask for."""
    try:
        return find_model(name)
    except ModelNotFound:
        return None
