"""Start-up, status, many small migrations against the same commands sent bare, a long update."""
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from measure import MARTLET, URI, median, note, row, run

import pymongo

COUNT = int(os.environ.get("BENCH_MIGRATIONS", 1000))
DOCUMENTS = int(os.environ.get("BENCH_DOCUMENTS", 1_000_000))
client = pymongo.MongoClient(URI)


def martlet(folder, database, *arguments):
    return [MARTLET, *arguments, "--uri", URI, "--db", database, "--migrations-dir", folder]


def version():
    seconds = median(20, lambda: run([MARTLET, "--version"])[0])
    row("martlet --version", f"{seconds * 1000:.0f} ms", "50 ms", seconds < 0.05)


def many_small():
    database = "bench_small"
    client.drop_database(database)
    with tempfile.TemporaryDirectory() as folder:
        for n in range(COUNT):
            with open(f"{folder}/{n + 1:05}_c{n}.yaml", "w") as file:
                file.write(
                    f"up:\n  - create: c{n}\n  - createIndexes: c{n}\n"
                    f"    indexes: [ {{ key: {{ a: 1 }} }} ]\n")
        first = run(martlet(folder, database, "migrate", "up", "--yes", "--quiet"))
        status = median(5, lambda: run(martlet(folder, database, "migrate", "status"))[0])
        row(f"migrate status, {COUNT} on disk and in the ledger", f"{status * 1000:.0f} ms",
            "300 ms", status < 0.3)
    bare_name = "bench_bare"
    client.drop_database(bare_name)
    bare = client.get_database(bare_name, write_concern=pymongo.WriteConcern("majority"))
    started = time.monotonic()
    for n in range(COUNT):
        bare.command({"create": f"c{n}", "writeConcern": {"w": "majority"}})
        bare.command({"createIndexes": f"c{n}", "writeConcern": {"w": "majority"},
                      "indexes": [{"key": {"a": 1}, "name": "a_1"}]})
    seconds = time.monotonic() - started
    note(f"{COUNT} create+createIndexes migrations {first[0]:.1f} s, the same commands bare "
         f"{seconds:.1f} s: ratio {first[0] / seconds:.2f}")
    client.drop_database(database)
    client.drop_database(bare_name)


def long_update():
    database = "bench_update"
    for name in (database, "bench_plain"):
        client.drop_database(name)
        block = [{"name": f"user {i}", "text": "x" * 250} for i in range(10_000)]
        for start in range(0, DOCUMENTS, 10_000):
            for i, document in enumerate(block):
                document["_id"] = start + i
            client[name].users.insert_many(block[: DOCUMENTS - start], ordered=False)
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/001_flag.yaml", "w") as file:
            file.write("up:\n  - update: users\n    updates:\n"
                       "      - { q: {}, u: { $set: { flag: false } }, multi: true }\n")
        up = run(martlet(folder, database, "migrate", "up", "--yes", "--quiet"))
        row(f"peak memory, update of {DOCUMENTS:,} documents with undo",
            f"{up[1] / 1e6:.0f} MB", "128 MB", up[1] < 128e6)
        down = run(martlet(folder, database, "migrate", "down", "--yes", "--quiet"))
        row("peak memory, taking it back", f"{down[1] / 1e6:.0f} MB", "128 MB", down[1] < 128e6)
    plain = client.get_database("bench_plain", write_concern=pymongo.WriteConcern("majority"))
    started = time.monotonic()
    plain.users.update_many({}, {"$set": {"flag": False}})
    seconds = time.monotonic() - started
    note(f"up {up[0]:.1f} s, down {down[0]:.1f} s, bare updateMany {seconds:.1f} s: "
         f"ratio of up {up[0] / seconds:.2f}")
    for name in (database, "bench_plain"):
        client.drop_database(name)


version()
many_small()
long_update()
