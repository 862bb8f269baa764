"""Dump, load and oplog replay beside their floors, and beside mongodump and mongorestore where they are on PATH.

BENCH_PARTS="dump load oplog" chooses, BENCH_ROUNDS=3 and BENCH_DOCUMENTS=1000000 say how much.
"""
import os
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from measure import MARTLET, URI, note, row, run

import datetime
import random

import bson
import pymongo
from bson import Decimal128, ObjectId
from bson.raw_bson import RawBSONDocument

COUNT = int(os.environ.get("BENCH_DOCUMENTS", 1_000_000))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 3))
client = pymongo.MongoClient(URI)
majority = pymongo.WriteConcern("majority")


def fill():
    """Orders of about 700 bytes with three indexes."""
    rnd = random.Random(1)
    words = ["".join(rnd.choices("abcdefghijklmnopqrstuvwxyz", k=rnd.randrange(3, 10))) for _ in range(3000)]
    users = [ObjectId() for _ in range(50_000)]
    start = datetime.datetime(2026, 1, 1)
    client.drop_database("bench_dump")
    orders = client.bench_dump.orders
    for block in range(0, COUNT, 5000):
        orders.insert_many([{
            "_id": ObjectId(), "user_id": rnd.choice(users),
            "status": rnd.choice(["pending", "paid", "shipped", "cancelled"]),
            "total": Decimal128(str(rnd.randrange(100, 99999) / 100)),
            "created_at": start + datetime.timedelta(seconds=7 * n),
            "items": [{"sku": f"SKU-{rnd.randrange(100_000):06}", "name": " ".join(rnd.choices(words, k=3)),
                       "qty": rnd.randrange(1, 9), "price": rnd.uniform(1, 500)} for _ in range(rnd.randrange(1, 5))],
            "address": {"street": " ".join(rnd.choices(words, k=3)), "city": rnd.choice(words),
                        "zip": f"{rnd.randrange(99999):05}"},
            "note": " ".join(rnd.choices(words, k=25)), "n": n, "tags": rnd.choices(words[:50], k=3),
        } for n in range(block, min(COUNT, block + 5000))], ordered=False)
    orders.create_index("user_id")
    orders.create_index([("status", 1), ("created_at", -1)])


def drain():
    """Seconds to fetch everything with one cursor, whole batches, nothing decoded."""
    started = time.monotonic()
    for _ in client.bench_dump.orders.find_raw_batches({}):
        pass
    return time.monotonic() - started


def best(action, rounds=ROUNDS):
    return min((action() for _ in range(rounds)), key=lambda result: result[0])


def dump(folder, name, *arguments):
    path = f"{folder}/{name}"
    command = [MARTLET, "dump", "--uri", URI, "--db", "bench_dump", f"--archive={path}", "--quiet", *arguments]
    seconds, memory, _ = best(lambda: run(command))
    return seconds, memory, os.path.getsize(path)


def peer(tool, *arguments, rounds=ROUNDS, before=lambda: None):
    """Seconds of a peer tool, or None."""
    path = shutil.which(tool)

    def once():
        before()
        return run([path, "--uri", URI, "--quiet", *arguments])
    return best(once, rounds)[0] if path else None


def ratio(ours, theirs, goal):
    if theirs:
        row("  times as fast as the peer", f"{theirs / ours:.1f}", f"{goal}", theirs / ours >= goal)


def dumps(folder):
    floor = min(drain() for _ in range(ROUNDS))
    note(f"bare cursor drain {floor:.2f} s")
    plain = dump(folder, "plain", )
    row("dump, plain, times the drain", f"{plain[0] / floor:.2f}", "1.3", plain[0] <= 1.3 * floor)
    ratio(plain[0], peer("mongodump", "--db=bench_dump", f"--archive={folder}/p"), 2)
    packed = dump(folder, "packed.gz", "--gzip")
    note(f"dump, gzip {packed[0]:.2f} s, {packed[2] / plain[2]:.3f} of the plain size")
    theirs = peer("mongodump", "--db=bench_dump", "--gzip", f"--archive={folder}/p.gz")
    ratio(packed[0], theirs, 5)
    if theirs:
        size = packed[2] / os.path.getsize(f"{folder}/p.gz")
        row("  size beside the peer's", f"{size:.3f}", "1.06", size <= 1.06)
    memory = max(plain[1], packed[1])
    row("peak memory of a dump", f"{memory / 1e6:.0f} MB", "64 MB", memory <= 64e6)


def bare_insert():
    """Seconds to insert and index the same documents from three threads, decoded by nobody."""
    from concurrent.futures import ThreadPoolExecutor
    client.drop_database("bench_bare")
    source = client.bench_dump.get_collection(
        "orders", codec_options=client.codec_options.with_options(document_class=RawBSONDocument))
    documents = list(source.find())
    target = client.bench_bare.get_collection("orders", write_concern=majority)
    blocks = [documents[n:n + 10_000] for n in range(0, len(documents), 10_000)]
    started = time.monotonic()
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda block: target.insert_many(block, ordered=False), blocks))
    target.create_indexes([pymongo.IndexModel("user_id"), pymongo.IndexModel([("status", 1), ("created_at", -1)])])
    seconds = time.monotonic() - started
    client.drop_database("bench_bare")
    return seconds


def loads(folder):
    floor = bare_insert()
    note(f"bare insert and index builds {floor:.1f} s")
    command = [MARTLET, "load", "--uri", URI, f"--archive={folder}/plain", "--drop", "--quiet",
               "--nsFrom=bench_dump.*", "--nsTo=bench_load.*"]
    seconds, memory, _ = best(lambda: run(command))
    row("load with indexes, times the floor", f"{seconds / floor:.2f}", "1.2", seconds <= 1.2 * floor)
    ratio(seconds, peer("mongorestore", f"--archive={folder}/plain", "--drop",
                        "--nsFrom=bench_dump.*", "--nsTo=bench_load.*"), 2)
    row("peak memory of a load", f"{memory / 1e6:.0f} MB", "96 MB", memory <= 96e6)


def oplog_since(time):
    """What the server's oplog has of bench_oplog behind a time, as bytes."""
    oplog = client.local.get_collection(
        "oplog.rs", codec_options=client.codec_options.with_options(document_class=RawBSONDocument))
    entries = oplog.find({"ts": {"$gt": time}, "$or": [
        {"ns": "bench_oplog.items"}, {"ns": "admin.$cmd", "o.applyOps.ns": "bench_oplog.bulk"},
        {"ns": "admin.$cmd", "o.commitTransaction": 1}]}).sort("$natural", 1)
    return [entry.raw for entry in entries]


def now():
    return client.admin.command("hello")["lastWrite"]["opTime"]["ts"]


def oplog_base():
    """The documents that the replayed updates change, and the collection that the transaction fills."""
    client.drop_database("bench_oplog")
    client.bench_oplog.create_collection("bulk")
    client.bench_oplog.items.insert_many(
        [{"_id": n, "n": 0, "note": "x" * 200, "nested": {"a": 0, "list": [0, 1, 2]}} for n in range(10_000)])


def oplog_updates():
    """The oplog of 40,000 updates, four of each document."""
    oplog_base()
    start = now()
    for turn in range(1, 5):
        client.bench_oplog.items.bulk_write([
            pymongo.UpdateOne({"_id": n}, {"$set": {"n": n * turn + 1, "nested.a": turn, "nested.list.1": turn}})
            for n in range(10_000)])
    return oplog_since(start)


def oplog_transaction(count):
    """The oplog of one transaction that inserts so many documents."""
    oplog_base()
    start = now()
    with client.start_session() as session, session.start_transaction():
        for block in range(0, count, 10_000):
            client.bench_oplog.bulk.insert_many(
                [{"_id": n, "note": "y" * 200} for n in range(block, block + 10_000)], session=session)
    return oplog_since(start)


def state():
    return client.bench_oplog.command("dbHash")["collections"]


def bare_replay(entries):
    """Seconds of the same operations in batches of 500, encoded before, one connection."""
    operations = [RawBSONDocument(bson.encode({
        k: v for k, v in RawBSONDocument(entry).items() if k in ("op", "ns", "o", "o2")})) for entry in entries]
    commands = [{
        "applyOps": operations[at:at + 500], "allowAtomic": False, "alwaysUpsert": True,
        "bypassDocumentValidation": True, "writeConcern": {"w": "majority"},
    } for at in range(0, len(operations), 500)]

    def once():
        oplog_base()
        started = time.monotonic()
        for command in commands:
            client.admin.command(command)
        return (time.monotonic() - started,)
    return best(once)[0]


def replay(folder, expected):
    """Seconds and peak bytes of our replay, which must give the expected state."""
    def once():
        oplog_base()
        result = run([MARTLET, "load", "--uri", URI, f"--dir={folder}", "--oplogReplay", "--quiet"])
        if state() != expected:
            raise SystemExit("the replay gave another state")
        return result
    return best(once)[:2]


def oplogs(scratch):
    folder = f"{scratch}/oplog"
    os.makedirs(folder)
    entries = oplog_updates()
    expected = state()
    with open(f"{folder}/oplog.bson", "wb") as file:
        file.writelines(entries)
    floor = bare_replay(entries)
    note(f"{len(entries)} updates, bare batched applyOps {floor:.2f} s")
    seconds, memory = replay(folder, expected)
    row("oplog replay, times the floor", f"{seconds / floor:.2f}", "-", True)
    ratio(seconds, peer("mongorestore", "--oplogReplay", f"--dir={folder}", rounds=1, before=oplog_base), 30)
    row("peak memory of that replay", f"{memory / 1e6:.0f} MB", "96 MB", memory <= 96e6)

    entries = oplog_transaction(200_000)
    expected = state()
    with open(f"{folder}/oplog.bson", "wb") as file:
        file.writelines(entries)
    size = os.path.getsize(f"{folder}/oplog.bson")
    seconds, memory = replay(folder, expected)
    note(f"one transaction of 200000 inserts, {size / 1e6:.0f} MB in {len(entries)} entries: {seconds:.2f} s")
    row("peak memory of its replay", f"{memory / 1e6:.0f} MB", "96 MB", memory <= 96e6)


def main():
    parts = os.environ.get("BENCH_PARTS", "dump load oplog").split()
    with tempfile.TemporaryDirectory() as scratch:
        if "dump" in parts or "load" in parts:
            fill()
            dumps(scratch)
            if "load" in parts:
                loads(scratch)
            for database in ("bench_dump", "bench_load"):
                client.drop_database(database)
        if "oplog" in parts:
            oplogs(scratch)
            client.drop_database("bench_oplog")


if __name__ == "__main__":
    main()
