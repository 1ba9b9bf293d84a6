"""API keys: who may in, and that nothing tells a key."""

import re
import time
from hashlib import sha256
from typing import Any

import pytest

from gptoss_api.access import ApiKeys, KeyRecord, decode_record, encode_record, new_secret
from gptoss_api.core.errors import AdminKeyRequired, InvalidApiKey, ModelNotAllowed, StateUnavailable
from gptoss_api.dialects.openai_errors import openai_error
from gptoss_api.state import StoreUnavailable

KEYS = ApiKeys(["first-key-1234", "second-key-5678"])


def test_without_keys_everyone_is_nobody_in_particular() -> None:
    keys = ApiKeys([])
    assert not keys.required
    assert keys.authenticate({}).id == ""
    assert keys.authenticate({"authorization": "Bearer anything"}).id == ""


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer second-key-5678"},
        {"authorization": "bearer   second-key-5678  "},
        {"x-api-key": "second-key-5678"},
        {"authorization": "Bearer placeholder", "x-api-key": "second-key-5678"},
        {"authorization": "Bearer second-key-5678", "x-api-key": "placeholder"},
    ],
)
def test_a_right_key_in_either_header_names_its_caller(headers: dict[str, str]) -> None:
    caller = KEYS.authenticate(headers).id
    assert caller == KEYS.authenticate({"x-api-key": "second-key-5678"}).id
    assert caller != KEYS.authenticate({"x-api-key": "first-key-1234"}).id
    assert "second" not in caller
    assert len(caller) == 12


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": ""}, {"authorization": "Basic Zmlyc3Qta2V5LTEyMzQ="}]
)
def test_a_missing_key_is_said_to_be_missing(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidApiKey, match="didn't provide"):
        KEYS.authenticate(headers)


@pytest.mark.parametrize(
    "key",
    [
        "wrong",
        "first-key-123",
        "first-key-12345",
        "FIRST-KEY-1234",
        "first-key-1234,second-key-5678",
        "\xff\xfe",
    ],
)
def test_a_wrong_key_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(InvalidApiKey, match="Incorrect") as refused:
        KEYS.authenticate({"authorization": f"Bearer {key}"})
    assert key not in refused.value.message
    assert openai_error(refused.value).status == 401
    assert refused.value.should_retry is False


def test_no_key_is_kept_in_memory_as_it_is() -> None:
    assert "first-key-1234" not in repr(KEYS._callers)


def record(name: str, secret: str, **more: Any) -> KeyRecord:
    digest = sha256(secret.encode()).hexdigest()
    return KeyRecord(f"key_{name}", name, digest, secret[-4:], time.time(), **more)


class Created:
    """The keys of a store that can be away."""

    def __init__(self) -> None:
        self.records: list[KeyRecord] = []
        self.revision = b"0"
        self.away = False

    def put(self, *records: KeyRecord) -> None:
        self.records = list(records)
        self.revision += b"1"

    async def read(self, seen: bytes | None) -> tuple[bytes, list[bytes]] | None:
        if self.away:
            raise StoreUnavailable("away")
        return (
            None if seen == self.revision else (self.revision, [encode_record(key) for key in self.records])
        )


@pytest.fixture
def created() -> Created:
    return Created()


async def test_the_first_created_key_closes_the_gateway(created: Created) -> None:
    keys = ApiKeys([], read=created.read)
    assert await keys.refresh()
    assert not keys.required
    created.put(record("anna", "sk-anna"))
    assert await keys.refresh()
    assert keys.required
    with pytest.raises(InvalidApiKey, match="didn't provide"):
        keys.authenticate({})
    for header in ("x-api-key", "api-key"):
        caller = keys.authenticate({header: "sk-anna"})
        assert (caller.id, caller.name, caller.admin) == ("key_anna", "anna", False)
    with pytest.raises(InvalidApiKey, match="keys create"):
        keys.authenticate({"api-key": "sk-bob"})


async def test_created_keys_and_those_of_the_settings_open_the_gateway_together(created: Created) -> None:
    created.put(record("anna", "sk-anna"))
    keys = ApiKeys(["set-key-1234"], read=created.read)
    await keys.refresh()
    assert keys.authenticate({"x-api-key": "set-key-1234"}).record is None
    assert keys.authenticate({"x-api-key": "sk-anna"}).name == "anna"
    # One right key is enough, wherever the other one stands.
    both = {"authorization": "Bearer set-key-1234", "x-api-key": "sk-wrong"}
    assert keys.opened_by(both)


async def test_a_key_that_ended_says_so(created: Created) -> None:
    keys = ApiKeys([], read=created.read)
    created.put(
        record("gone", "sk-gone", revoked=time.time()), record("old", "sk-old", expires=1_700_000_000.0)
    )
    await keys.refresh()
    with pytest.raises(InvalidApiKey, match="was revoked"):
        keys.authenticate({"x-api-key": "sk-gone"})
    with pytest.raises(InvalidApiKey, match="expired at 2023-11-14T22:13:20Z"):
        keys.authenticate({"x-api-key": "sk-old"})


async def test_a_gateway_that_had_keys_stays_closed_when_they_are_lost(created: Created) -> None:
    keys = ApiKeys([], read=created.read)
    created.put(record("anna", "sk-anna"))
    await keys.refresh()
    created.away = True
    assert not await keys.refresh()
    assert keys.opened_by({"x-api-key": "sk-anna"})
    created.away = False
    created.put()
    await keys.refresh()
    assert keys.required
    assert not keys.opened_by({})
    assert not keys.opened_by({"x-api-key": "sk-anna"})


async def test_always_required_keys_keep_everyone_out_until_they_can_be_read(created: Created) -> None:
    created.away = True
    keys = ApiKeys([], always=True, read=created.read)
    assert not await keys.refresh()
    assert not keys.opened_by({})
    assert not keys.opened_by({"x-api-key": "sk-gptoss-anna"})
    for headers in ({}, {"x-api-key": "another-kind-of-key"}):
        with pytest.raises(InvalidApiKey):
            keys.authenticate(headers)
    # Nobody throws a right key away for it.
    with pytest.raises(StateUnavailable) as unknown:
        keys.authenticate({"x-api-key": "sk-gptoss-anna"})
    assert unknown.value.retry_after == 5.0
    created.away = False
    created.put(record("anna", "sk-gptoss-anna"))
    await keys.refresh()
    assert keys.opened_by({"x-api-key": "sk-gptoss-anna"})


async def test_a_record_that_cannot_be_read_opens_nothing_and_still_closes(
    created: Created, caplog: pytest.LogCaptureFixture
) -> None:
    async def read(seen: bytes | None) -> tuple[bytes, list[bytes]]:
        return b"1", [b"no record", encode_record(record("anna", "sk-anna"))[:-9], b'{"id":"x"}']

    keys = ApiKeys([], read=read)
    await keys.refresh()
    assert keys.required
    assert not keys.opened_by({"x-api-key": "sk-anna"})
    assert caplog.text.count("cannot be read") == 3


async def test_what_a_later_version_adds_to_a_record_is_passed_over(created: Created) -> None:
    data = encode_record(record("anna", "sk-anna"))[:-1] + b',"something":{"new":1}}'
    assert decode_record(data).name == "anna"


def test_admin_keys_administer_and_others_do_not() -> None:
    keys = ApiKeys(["set-key-1234"], admin_key="admin-key-9999")
    assert keys.authenticate_admin({"x-api-key": "admin-key-9999"}).admin
    assert keys.authenticate({"x-api-key": "admin-key-9999"}).name == "admin"
    with pytest.raises(AdminKeyRequired):
        keys.authenticate_admin({"x-api-key": "set-key-1234"})
    with pytest.raises(InvalidApiKey):
        keys.authenticate_admin({})
    # Alone it closes nothing but what is administered.
    alone = ApiKeys([], admin_key="admin-key-9999")
    assert alone.opened_by({})
    with pytest.raises(InvalidApiKey):
        alone.authenticate_admin({})


async def test_a_created_admin_key_administers(created: Created) -> None:
    keys = ApiKeys([], read=created.read)
    created.put(record("root", "sk-root", admin=True), record("anna", "sk-anna"))
    await keys.refresh()
    assert keys.authenticate_admin({"x-api-key": "sk-root"}).name == "root"
    with pytest.raises(AdminKeyRequired):
        keys.authenticate_admin({"x-api-key": "sk-anna"})


async def test_a_key_for_one_model_may_not_use_the_other(created: Created) -> None:
    keys = ApiKeys([], read=created.read)
    created.put(record("anna", "sk-anna", models=("gpt-oss-20b",)), record("bob", "sk-bob"))
    await keys.refresh()
    anna, bob = (keys.authenticate({"x-api-key": f"sk-{name}"}) for name in ("anna", "bob"))
    anna.check_model("gpt-oss-20b")
    bob.check_model("gpt-oss-120b")
    with pytest.raises(ModelNotAllowed, match="only gpt-oss-20b"):
        anna.check_model("gpt-oss-120b")


def test_a_new_secret_is_long_and_only_its_digest_is_kept() -> None:
    made = [new_secret() for _ in range(20)]
    assert len({secret.secret for secret in made}) == 20
    for secret in made:
        assert re.fullmatch("sk-gptoss-[0-9A-Za-z]{43}", secret.secret)
        assert secret.digest == sha256(secret.secret.encode()).hexdigest()
        assert secret.secret.endswith(secret.ending)
