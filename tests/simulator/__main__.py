"""Run the simulator by hand: ``python -m tests.simulator --port 9100``."""

import argparse
import asyncio
import contextlib

from . import SCENARIOS, Limit, Simulator


async def serve(options: argparse.Namespace) -> None:
    async with Simulator(
        dialect=options.dialect,
        auth=options.auth,
        host=options.host,
        port=options.port,
        seed=options.seed,
        speed=options.speed,
    ) as simulator:
        if options.scenario:
            simulator.always(options.scenario)
        if options.limit:
            simulator.limit = Limit(options.limit)
        print(f"GPTOSS_CHATKIT_URL={simulator.chatkit_url}", flush=True)
        print(f"GPTOSS_COOKIE={simulator.cookie!r}", flush=True)
        seen = 0
        while True:
            await asyncio.sleep(0.2)
            for exchange in simulator.requests[seen:]:
                print(f"{exchange.method} {exchange.path} {exchange.op} {exchange.text[:80]!r}", flush=True)
                seen += 1


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9100)
    parser.add_argument("--dialect", choices=("old", "new", "any"), default="old")
    parser.add_argument("--auth", choices=("off", "session"), default="off")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--speed", type=float, default=0.0, help="1: the site's own pauses; 0: none")
    parser.add_argument("--scenario", choices=SCENARIOS, metavar="NAME", help="answer every request so")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="messages per user_id")
    parser.add_argument("--list", action="store_true", help="show the scenarios' names")
    options = parser.parse_args()
    if options.list:
        for scenario in SCENARIOS.values():
            print(f"{scenario.name:28} {scenario.about}")
        return
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(options))


if __name__ == "__main__":
    main()
