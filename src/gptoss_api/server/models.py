"""What models there are, in the words of whichever dialect is asked."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace
from starlette.types import Receive, Scope, Send

from ..core.catalog import Model, ModelAliases, find_model
from ..core.errors import ModelNotFound
from ..dialects.base import Headers
from ..gateway import Gateway
from .exchange import send_json
from .request import RequestRecord


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
