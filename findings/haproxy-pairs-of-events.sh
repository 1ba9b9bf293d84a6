#!/bin/sh
# What HAProxy makes of the rhythm of a stream of server-sent events.
#
# Seen with HAProxy 2.6.12 (Debian 12) with nothing but "mode http" and time-outs set: of events that a server sends
# 150 ms apart, chunk by chunk and with Nagle's algorithm off, every second waits for the one after it, so that they
# arrive in pairs every 300 ms. The answer is neither buffered by a filter nor compressed: HAProxy takes what comes
# in chunks for parts of one message and tells the kernel that more follows (MSG_MORE). With "option http-no-delay"
# each event arrives as it was sent. A reader of tokens sees a model that stutters.
#
# Needs apt with Debian 12's archive. Fails when the behaviour changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
apt-get -qq download haproxy=2.6.12-1+deb12u4 liblua5.3-0 libpcre2-posix3 libpcre2-8-0 libsystemd0 2>/dev/null
for package in *.deb; do dpkg -x "$package" root; done
cat >watch.py <<'PYTHON'
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

EVENTS, GAP = 12, 0.15
LIBRARIES = ":".join(str(folder.resolve()) for folder in Path("root").glob("**/*-linux-gnu*") if folder.is_dir())


def serve(listener):
    while True:
        client, _ = listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.recv(65536)
        client.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(EVENTS):
            event = b"data: %d\n\n" % number
            client.sendall(b"%x\r\n%s\r\n" % (len(event), event))
            time.sleep(GAP)
        client.sendall(b"0\r\n\r\n")
        client.close()


def gaps(port):
    """Milliseconds between the arrivals of events."""
    seen = []
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: any\r\nconnection: close\r\n\r\n")
        while piece := client.recv(65536):
            seen += [time.monotonic()] * piece.count(b"data: ")
    return [round((after - before) * 1000) for before, after in zip(seen, seen[1:])]


def through_haproxy(option):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    Path("haproxy.cfg").write_text(f"""
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    {option}
frontend front
    bind 127.0.0.1:{port}
    default_backend back
backend back
    server one 127.0.0.1:{server.getsockname()[1]}
""")
    command = ("root/usr/sbin/haproxy", "-f", "haproxy.cfg")
    process = subprocess.Popen(command, env=os.environ | {"LD_LIBRARY_PATH": LIBRARIES})
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.1)
        return gaps(port)
    finally:
        process.terminate()
        process.wait()


server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=(server,), daemon=True).start()
direct, plain, prompt = gaps(server.getsockname()[1]), through_haproxy(""), through_haproxy("option http-no-delay")
print("direct:        ", direct, "plain:         ", plain, "http-no-delay: ", prompt, sep="\n")
together = [gap for gap in plain if gap < 50]
assert len(together) >= EVENTS // 2 - 1, together
assert sum(gap > 250 for gap in plain) >= EVENTS // 2 - 2
assert min(direct) > 100 and min(prompt) > 100
PYTHON
python3 watch.py
