"""The changes of an account's ledger, as Python makes them and as Redis makes them by itself.

The script is the arithmetic of :mod:`.ledger` again. With it a decision is one round trip, and however many
replicas use one key at the same moment, none has to begin anew because another was quicker.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from .ledger import (
    HELD,
    PARTS,
    Decision,
    Demand,
    Holding,
    Ledger,
    allowances_of,
    charge,
    hold,
    read_ledger,
    reserve,
    settle,
    write_ledger,
)
from .records import NO_LIMITS, KeyLimits

T = TypeVar("T")

# KEYS: ledger. ARGV: what is asked, see _Asked. Gives the next value, the time, and whether it was admitted.
LUA: Final = """
local ask = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local readable, ledger = pcall(cjson.decode, redis.call('GET', KEYS[1]) or '{}')
if not readable or type(ledger) ~= 'table' then ledger = {} end
local window, spent, held = ledger.window or {}, ledger.spent or {}, ledger.held or {}

local days = math.floor(now / 86400000)
-- Howard Hinnant's civil_from_days: years that begin in March, in eras of 400.
local function month()
  local era = math.floor((days + 719468) / 146097)
  local day = days + 719468 - era * 146097
  local years = math.floor(
    (day - math.floor(day / 1460) + math.floor(day / 36524) - math.floor(day / 146096)) / 365)
  day = day - (365 * years + math.floor(years / 4) - math.floor(years / 100))
  return (years + era * 400) * 12 + math.floor((5 * day + 2) / 153) + 2
end
local numbers = {day = days, month = month(), total = 0}

local function spent_in(period)
  local its = spent[period]
  return its and its[1] == numbers[period] and its[2] or 0
end
local function charge(tokens)
  for period, number in pairs(numbers) do spent[period] = {number, spent_in(period) + tokens} end
end
local function hold(turns, tokens, most)
  held[ask.process] = turns > 0 and {turns, tokens, most, now + ask.believed} or nil
end
local function age()
  window, held = {}, {}
  for _, entry in ipairs(ledger.window or {}) do
    if entry[1] + ask.minute > now then window[#window + 1] = entry end
  end
  for process, its in pairs(ledger.held or {}) do if its[4] > now then held[process] = its end end
end
local part = math.max(1, math.floor(ask.minute / ask.parts))

local function fits()
  local limits = ask.limits
  local turns, reserved, requests, tokens = 0, 0, 0, 0
  for _, its in pairs(held) do turns, reserved = turns + its[1], reserved + its[3] end
  if limits.concurrency and turns >= limits.concurrency then return false end
  for _, budget in ipairs(limits.budgets or {}) do
    local used = spent_in(budget.period)
    if used >= budget.tokens then return false end
    if reserved > 0 and used + reserved + ask.demand.most > budget.tokens then return false end
  end
  for _, entry in ipairs(window) do requests, tokens = requests + entry[2], tokens + entry[3] end
  if limits.requests and requests + 1 > limits.requests then return false end
  return not limits.tokens or tokens + ask.demand.tokens <= limits.tokens
    or turns == 0 and tokens < limits.tokens
end
local function reserve()
  age()
  hold(ask.turns, ask.tokens, ask.most)
  if not fits() then return 0 end
  local last = window[#window]
  if last and math.floor(last[1] / part) == math.floor(now / part) then
    window[#window] = {math.max(now, last[1]), last[2] + 1, last[3] + ask.demand.tokens}
  else
    window[#window + 1] = {now, 1, ask.demand.tokens}
  end
  hold(ask.turns + 1, ask.tokens + ask.demand.tokens, ask.most + ask.demand.most)
  return 1
end
local function settle()
  age()
  for _, entry in ipairs(window) do
    if math.floor(entry[1] / part) == math.floor(ask.since / part) then
      entry[3] = math.max(0, entry[3] + ask.used - ask.demand.tokens)
    end
  end
  charge(ask.used)
  hold(ask.turns, ask.tokens, ask.most)
end

local verdict = 1
if ask.owed > 0 then charge(ask.owed) end
if ask.step == 'reserve' then verdict = reserve()
elseif ask.step == 'settle' then settle()
elseif ask.step == 'hold' then hold(ask.turns, ask.tokens, ask.most) end
-- An empty table would be written as an object.
local value = cjson.encode({window = #window > 0 and window or nil, spent = spent, held = held})
if ask.owed > 0 or verdict == 1 and ask.step ~= 'look' then redis.call('SET', KEYS[1], value) end
return {value, now, verdict}
"""


class _Asked(Struct):
    """The script's argument."""

    step: str
    owed: int
    minute: int
    parts: int = PARTS
    believed: int = HELD
    process: str = ""
    turns: int = 0
    tokens: int = 0
    most: int = 0
    demand: Demand = Demand(0, 0)
    limits: KeyLimits = NO_LIMITS
    since: int = 0
    used: int = 0

    def of(self, holding: Holding) -> "_Asked":
        self.process, self.turns = holding.process, holding.turns
        self.tokens, self.most = holding.demand.tokens, holding.demand.most
        return self


class Step(ABC, Generic[T]):
    """A :class:`~..state.Change` of a ledger: gives the ledger's next value, and what was found out.

    ``owed`` tokens are charged first, ``minute`` is how many milliseconds one has. ``now`` is the store's
    time when it was done there, in milliseconds since 1970.
    """

    lua: Final = LUA

    def __init__(self, owed: int, minute: int) -> None:
        self.owed = owed
        self.minute = minute
        self.now: int | None = None

    @abstractmethod
    def work(self, ledger: Ledger, now: int) -> T:
        """Changes ``ledger``."""

    @abstractmethod
    def told(self, ledger: Ledger, now: int, admitted: bool) -> T:
        """What ``work`` gives, of a ledger that Redis has changed already."""

    @property
    @abstractmethod
    def _asked(self) -> _Asked: ...

    @property
    def arguments(self) -> bytes:
        return msgspec.json.encode(self._asked)

    def __call__(self, value: bytes | None, now: int) -> tuple[bytes, tuple[bytes, T]]:
        self.now = now
        ledger = read_ledger(value)
        if self.owed:
            charge(ledger, self.owed, now)
        found = self.work(ledger, now)
        written = write_ledger(ledger)
        return written, (written, found)

    def found(self, value: bytes, now: int, verdict: int) -> tuple[bytes, T]:
        self.now = now
        return value, self.told(read_ledger(value), now, bool(verdict))


class Reserve(Step[Decision]):
    """Takes what a request may use; see :func:`.ledger.reserve`."""

    def __init__(self, owed: int, minute: int, limits: KeyLimits, demand: Demand, holding: Holding) -> None:
        super().__init__(owed, minute)
        self._limits = limits
        self._demand = demand
        self._holding = holding

    def work(self, ledger: Ledger, now: int) -> Decision:
        return reserve(ledger, self._limits, self._demand, self._holding, now, self.minute)

    def told(self, ledger: Ledger, now: int, admitted: bool) -> Decision:
        if admitted:
            return Decision(now, allowances_of(ledger, self._limits, now, self.minute))
        # Says why: what is refused changes nothing.
        return self.work(ledger, now)

    @property
    def _asked(self) -> _Asked:
        asked = _Asked("reserve", self.owed, self.minute, demand=self._demand, limits=self._limits)
        return asked.of(self._holding)


class Settle(Step[None]):
    """Puts what was used in the place of what was reserved; see :func:`.ledger.settle`."""

    def __init__(
        self, owed: int, minute: int, since: int, demand: Demand, used: int, holding: Holding
    ) -> None:
        super().__init__(owed, minute)
        self._since = since
        self._demand = demand
        self._used = used
        self._holding = holding

    def work(self, ledger: Ledger, now: int) -> None:
        settle(ledger, self._since, self._demand.tokens, self._used, self._holding, now, self.minute)

    def told(self, ledger: Ledger, now: int, admitted: bool) -> None:
        return None

    @property
    def _asked(self) -> _Asked:
        asked = _Asked(
            "settle", self.owed, self.minute, demand=self._demand, since=self._since, used=self._used
        )
        return asked.of(self._holding)


class Hold(Step[None]):
    """Notes what a process holds; see :func:`.ledger.hold`."""

    def __init__(self, owed: int, minute: int, holding: Holding) -> None:
        super().__init__(owed, minute)
        self._holding = holding

    def work(self, ledger: Ledger, now: int) -> None:
        hold(ledger, self._holding, now)

    def told(self, ledger: Ledger, now: int, admitted: bool) -> None:
        return None

    @property
    def _asked(self) -> _Asked:
        return _Asked("hold", self.owed, self.minute).of(self._holding)


class Look(Step[T]):
    """Gives what ``read`` finds in a ledger."""

    def __init__(self, owed: int, minute: int, read: Callable[[Ledger, int], T]) -> None:
        super().__init__(owed, minute)
        self._read = read

    def work(self, ledger: Ledger, now: int) -> T:
        return self._read(ledger, now)

    def told(self, ledger: Ledger, now: int, admitted: bool) -> T:
        return self._read(ledger, now)

    @property
    def _asked(self) -> _Asked:
        return _Asked("look", self.owed, self.minute)
