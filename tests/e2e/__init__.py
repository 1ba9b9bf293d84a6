"""The gateway as its clients meet it: a process, real sockets, real bytes."""
