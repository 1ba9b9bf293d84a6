#!/bin/sh
# What the other threads of a program get to do while one of them searches with the regex package.
#
# Seen with regex 2026.11.19 on CPython 3.11, 3.12 and 3.13: a thread goes through a text of twelve megabytes in
# stretches of 16,000 characters. It looks for the end of each with regex, a matter of microseconds, and counts
# its words with re, which takes less than a millisecond. The main thread only wants to wake up every half
# millisecond. It does not run at all before the other thread is done, however long that takes:
#
#   found with regex                       the main thread stood still for 0.31 of 0.33 s
#   found with regex, concurrent=False     for 0.01 s
#   found with re                          for 0.01 s
#
# regex releases the interpreter's lock while it searches, so that others can run, but takes it back before any
# of them has woken up. And whoever waits for the lock asks its owner to give way only after a switch interval
# (5 ms) in which nobody released it. Each search begins that interval anew, so nobody ever asks. A thread that
# never releases the lock is interrupted every 5 ms; one that keeps releasing it is not interrupted at all.
#
# An event loop beside such a thread stands still. concurrent=False, or searches that are rarer than the switch
# interval, avoid it. Where all processors are busy the others do get their turn, as the scheduler takes the thread
# away while the lock is free: run this on at least two processors with nothing beside it. Fails when the behaviour
# changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check --quiet install regex==2026.11.19
cat >show.py <<'PYTHON'
import re
import statistics
import threading
import time

import regex

TEXT = "The quick brown fox jumps over the lazy dog, and nobody knows why. " * 180_000
STRETCH = 16_000
ROUNDS = 15
words = re.compile(r"\w+").findall
pattern = r"(?<=\.) "
searches = {
    "regex": regex.compile(pattern).search,
    "regex, concurrent=False": lambda *where: regex.compile(pattern).search(*where, concurrent=False),
    "re": re.compile(pattern).search,
}


def count(search):
    at = 0
    while len(TEXT) - at > STRETCH:
        end = search(TEXT, at + STRETCH - 200).start()
        words(TEXT, at, end)
        at = end


def stood_still(search):
    """Which part of the other thread's time the longest pause of this one was, and that time in seconds."""
    other = threading.Thread(target=count, args=(search,))
    begin = last = time.perf_counter()
    longest = 0.0
    other.start()
    while True:
        goes_on = other.is_alive()
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
        if not goes_on:
            return longest / (now - begin), now - begin
        time.sleep(0.0005)


parts = {}
for name, search in searches.items():
    rounds = [stood_still(search) for _ in range(ROUNDS)]
    parts[name] = statistics.median(part for part, _ in rounds)
    whole = statistics.median(whole for _, whole in rounds)
    print(f"found with {name}: stood still for {parts[name] * whole:.2f} of {whole:.2f} s")
assert parts["regex"] > 0.5
assert parts["regex, concurrent=False"] < 0.2
assert parts["re"] < 0.2
PYTHON
venv/bin/python show.py
