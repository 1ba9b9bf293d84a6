"""What models there are, in the words of whichever dialect is asked."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace
from starlette.types import Receive, Scope, Send

from ..core.catalog import Model, ModelAliases, find_model
from ..core.errors import ModelNotFound
from ..dialects.base import Headers, Tell
from ..gateway import Gateway
from ..loop import beside
from .body import read_body, weight_of
from .exchange import send_json, send_whole
from .request import RequestRecord
from .turns import Serving


async def serve_models(
    gateway: Gateway,
    render: Callable[[Sequence[Model], bytes, Headers], bytes],
    scope: Scope,
    receive: Receive,
    send: Send,
) -> None:
    record: RequestRecord = scope["gptoss"]
    models = [model for model in await gateway.models() if record.key.may_use(find_model(model.id).id)]
    await send_json(send, 200, render(models, scope["query_string"], record.headers))


async def serve_model(
    gateway: Gateway,
    render: Callable[[Model, Headers], bytes],
    aliases: ModelAliases,
    scope: Scope,
    receive: Receive,
    send: Send,
) -> None:
    """The model that the path names by an id of its own or by any name that is known for it.

    One that is there only for ``aliases`` is shown under the name that was asked for.
    """
    record: RequestRecord = scope["gptoss"]
    requested: str = scope["path_params"]["id"]
    served = {model.id: model for model in await gateway.models()}
    name = aliases.resolve(requested)
    model = served.get(requested) or served.get(find_model(name).id)
    if model is None:
        raise ModelNotFound(
            f"No upstream that was reached serves {requested}. GET /v1/models lists what there is, "
            "GET /readyz tells of the upstreams.",
            requested=requested,
        )
    record.key.check_model(find_model(model.id).id)
    if name != requested:
        model = replace(model, id=requested)
    await send_json(send, 200, render(model, record.headers))


class TellEndpoint:
    """Tells what a dialect has to say of the models, without a turn."""

    def __init__(self, dialect: str, operation: Tell, gateway: Gateway, serving: Serving) -> None:
        self._name = dialect
        self._operation = operation
        self._gateway = gateway
        self._serving = serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record: RequestRecord = scope["gptoss"]
        record.dialect = self._name
        body = b""
        if self._operation.reads:
            with self._serving.intake.body(record.caller) as arriving:
                body = await read_body(receive, record.headers, arriving)
                record.weight = weight_of(body)
        models = await self._gateway.models()
        told = await beside(record.weight, self._operation.tell, body, record.headers, models)
        await send_whole(send, told.content_type, told.body)
