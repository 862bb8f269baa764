"""Makes running mongods ready: initiates the replica set, creates the root user, waits for a primary.

usage: mongod_init.py replset|standalone PORTS [root:PASSWORD] [tls=CA_FILE]
PORTS is a comma-separated list. Blocks for up to 60 s.
"""

import sys
import time

from pymongo import MongoClient


def main(kind, ports, *rest):
    hosts = [f"127.0.0.1:{port}" for port in ports.split(",")]
    options = {"directConnection": True, "serverSelectionTimeoutMS": 20_000}
    user = None
    for word in rest:
        if word.startswith("tls="):
            options |= {"tls": True, "tlsCAFile": word[4:]}
        else:
            user = word.split(":")
    servers = [MongoClient(f"mongodb://{host}/", **options).admin for host in hosts]

    primary = servers[0]
    if kind == "replset":
        primary.command("replSetInitiate", configuration(hosts))
        primary = wait(servers, "a primary", lambda hello: hello["ismaster"])
    if user:
        primary.command("createUser", user[0], pwd=user[1], roles=["root"])
    for server in servers:
        wait([server], "every member", lambda hello: hello["ismaster"] or hello.get("secondary"))


def configuration(hosts):
    members = [{"_id": number, "host": host} for number, host in enumerate(hosts)]
    settings = {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500}
    return {"_id": "rs0", "members": members, "settings": settings}


def wait(servers, what, ready):
    """The first server that is ready. isMaster, because 4.2 has no hello."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for server in servers:
            if ready(server.command("isMaster")):
                return server
        time.sleep(0.05)
    sys.exit(f"mongod_init.py: waited 60 s in vain for {what}")


main(*sys.argv[1:])
