"""Memory that tells workers what the others are about to store."""

import os
from hashlib import blake2b

from gptoss_api.threads import UnderWay


def key(number: int) -> bytes:
    return blake2b(number.to_bytes(2, "big"), digest_size=16).digest()


def test_everybody_sees_what_a_worker_noted_until_it_is_removed() -> None:
    memory = UnderWay(3)
    first, second, third = (memory.part(index) for index in range(3))
    second.add(key(1))
    second.add(key(1))
    second.add(key(2))
    assert all(key(1) in notes and key(2) in notes for notes in (first, second, third))
    second.remove(key(1))
    second.remove(key(3))
    assert key(1) not in first
    assert key(2) in first


def test_a_part_without_room_forgets_nothing_it_has() -> None:
    notes = UnderWay(1).part(0)
    for number in range(1, 601):
        notes.add(key(number))
    noted = [number for number in range(1, 601) if key(number) in notes]
    assert noted == list(range(1, 513))
    for number in range(1, 601):
        notes.remove(key(number))
    notes.add(key(700))
    assert [number for number in range(1, 701) if key(number) in notes] == [700]


def test_a_worker_that_takes_the_place_of_another_begins_with_nothing() -> None:
    memory = UnderWay(2)
    memory.part(0).add(key(1))
    other = memory.part(1)
    assert key(1) in other
    memory.part(0)
    assert key(1) not in other


def test_forked_processes_share_it() -> None:
    memory = UnderWay(2)
    if (child := os.fork()) == 0:
        memory.part(1).add(key(1))
        os._exit(0)
    os.waitpid(child, 0)
    assert key(1) in memory.part(0)
