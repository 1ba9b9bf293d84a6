"""What models there are, in the words of whichever dialect is asked."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from ..core.catalog import Model, ModelAliases, find_model
from ..core.errors import ModelNotFound
from ..dialects.base import Headers, Tell
from ..gateway import Gateway
from ..loop import beside
from .body import read_body, weight_of
from .exchange import Exchange
from .turns import Serving


async def serve_models(
    gateway: Gateway,
    render: Callable[[Sequence[Model], bytes, Headers], bytes],
    exchange: Exchange,
) -> None:
    headers = exchange.record.headers
    exchange.respond_json(200, render(await _usable(gateway, exchange), exchange.query, headers))


async def _usable(gateway: Gateway, exchange: Exchange) -> list[Model]:
    """The models that the key of a request may use."""
    key = exchange.record.key
    return [model for model in await gateway.models() if key.may_use(find_model(model.id).id)]


async def serve_model(
    gateway: Gateway,
    render: Callable[[Model, Headers], bytes],
    aliases: ModelAliases,
    exchange: Exchange,
) -> None:
    """The model that the path names by an id of its own or by any name that is known for it.

    One that is there only for ``aliases`` is shown under the name that was asked for.
    """
    requested: str = exchange.parameters["id"]
    served = {model.id: model for model in await gateway.models()}
    name = aliases.resolve(requested)
    model = served.get(requested) or served.get(find_model(name).id)
    if model is None:
        raise ModelNotFound(
            f"No upstream that was reached serves {requested}. GET /v1/models lists what there is, "
            "GET /readyz tells of the upstreams.",
            requested=requested,
        )
    exchange.record.key.check_model(find_model(model.id).id)
    if name != requested:
        model = replace(model, id=requested)
    exchange.respond_json(200, render(model, exchange.record.headers))


class TellEndpoint:
    """Tells what a dialect has to say of the models, without a turn."""

    def __init__(self, dialect: str, operation: Tell, gateway: Gateway, serving: Serving) -> None:
        self._name = dialect
        self._operation = operation
        self._gateway = gateway
        self._serving = serving

    async def __call__(self, exchange: Exchange) -> None:
        record = exchange.record
        record.dialect = self._name
        body = b""
        if self._operation.reads:
            with self._serving.intake.body(record.caller) as arriving:
                body = await read_body(exchange, arriving)
                record.weight = weight_of(body)
        models = await _usable(self._gateway, exchange)
        told = await beside(record.weight, self._operation.tell, body, record.headers, models)
        exchange.respond(200, told.body, [(b"content-type", told.content_type)])
