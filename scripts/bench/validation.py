"""Orphans by merged index scans against $group + $lookup and plain $lookup; a snapshot against the bare drain."""
import json
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from measure import MARTLET, URI, note, row, run

import bson
import pymongo
from bson.raw_bson import RawBSONDocument

ORDERS = int(os.environ.get("BENCH_ORDERS", 1_000_000))
USERS = int(os.environ.get("BENCH_USERS", 50_000))
REFERENCES = int(os.environ.get("BENCH_REFERENCES", 10_000_000))
DATABASE = "bench_validation"
client = pymongo.MongoClient(URI)
database = client[DATABASE]


def fill():
    client.drop_database(DATABASE)
    users = [bson.ObjectId() for _ in range(USERS)]
    database.users.insert_many(
        [{"_id": user, "email": f"u{n}@example.com"} for n, user in enumerate(users)], ordered=False)
    for start in range(0, ORDERS, 10_000):
        database.orders.insert_many(
            [{"_id": n, "user_id": users[n * 7919 % USERS], "total": n * 0.25, "status": "paid",
              "lines": [{"sku": f"sku-{n % 977}", "text": "x" * 540}]}
             for n in range(start, min(start + 10_000, ORDERS))], ordered=False)
    # Seven orders of nobody.
    for n in range(7):
        database.orders.update_one({"_id": n * 1000}, {"$set": {"user_id": bson.ObjectId()}})
    database.orders.create_index("user_id")


def validate(folder, name, rules, *arguments, expected=0):
    """(seconds of the orphan check, peak bytes, report, seconds of all)."""
    path = f"{folder}/rules.yaml"
    with open(path, "w") as file:
        file.write(rules)
    seconds, memory, out = run(
        [MARTLET, "validate", "before", "--uri", URI, "--db", name, "--rules", path,
         "--migrations-dir", folder, "--json", "--quiet", *arguments], expected=expected)
    report = json.loads(out)
    checks = [c for c in report["checks"] if c["id"] == "orphaned-references"]
    return (checks[0]["durationMs"] / 1000 if checks else 0), memory, report, seconds


def orphans(folder):
    rules = "references: [ { from: orders.user_id, to: users._id, nullable: true } ]\n"
    runs = [validate(folder, DATABASE, rules, expected=4) for _ in range(3)]
    merged, memory, report, _ = min(runs, key=lambda r: r[0])
    found = next(c for c in report["checks"] if c["id"] == "orphaned-references")
    assert found["findings"] == 7 and found["certainty"]["level"] == "exact", found
    started = time.monotonic()
    groups = list(database.orders.aggregate(
        [{"$group": {"_id": "$user_id", "n": {"$sum": 1}}},
         {"$lookup": {"from": "users", "localField": "_id", "foreignField": "_id", "as": "u"}},
         {"$match": {"u": {"$size": 0}}}], allowDiskUse=True))
    grouped = time.monotonic() - started
    assert sum(g["n"] for g in groups) == 7
    started = time.monotonic()
    plain_orders = list(database.orders.aggregate(
        [{"$lookup": {"from": "users", "localField": "user_id", "foreignField": "_id", "as": "u"}},
         {"$match": {"u": {"$size": 0}}}, {"$project": {"_id": 1}}], allowDiskUse=True))
    plain = time.monotonic() - started
    assert len(plain_orders) == 7
    note(f"{ORDERS:,} orders against {USERS:,} users: merged scans {merged:.2f} s, "
         f"$group + $lookup {grouped:.1f} s, $lookup {plain:.1f} s")
    row("orphans, times as fast as $group + $lookup", f"{grouped / merged:.1f}", "2",
        grouped / merged >= 2)
    row("orphans, times as fast as $lookup", f"{plain / merged:.1f}", "25", plain / merged >= 25)
    row("orphans, peak memory", f"{memory / 1e6:.0f} MB", "64 MB", memory < 64e6)


def snapshot(folder):
    def drain():
        started = time.monotonic()
        cursor = client.get_database(
            DATABASE, codec_options=bson.CodecOptions(document_class=RawBSONDocument)
        ).orders.find_raw_batches({})
        for _ in cursor:
            pass
        return time.monotonic() - started
    drain()
    bare = min(drain() for _ in range(3))
    times = []
    for _ in range(3):
        report = validate(folder, DATABASE, "version: 1\n", "--save", f"{folder}/s.json", expected=None)[2]
        times.append(next(c["durationMs"] for c in report["checks"]
                          if c["id"] == "field-names" and c["subject"] == "orders") / 1000)
    taken = min(times)
    note(f"snapshot of {ORDERS:,} documents {taken:.2f} s, bare drain {bare:.2f} s")
    row("snapshot against the bare cursor drain", f"{taken / bare:.2f}", "1.3", taken / bare <= 1.3)


def constant_memory(folder):
    name = DATABASE + "_many"
    client.drop_database(name)
    many = client[name]
    # 12 bytes each, all of one target, and as narrow as documents can be.
    for start in range(0, REFERENCES, 50_000):
        many.a.insert_many(
            [{"_id": n, "r": bson.ObjectId(f"{n // 10:024x}")}
             for n in range(start, min(start + 50_000, REFERENCES))], ordered=False)
        many.b.insert_many(
            [{"_id": bson.ObjectId(f"{n // 10:024x}")}
             for n in range(start, min(start + 50_000, REFERENCES), 10)], ordered=False)
    many.a.create_index("r")
    # From value to value where ten refer to one; every value of both sides where the sides are as long.
    for to in ("b._id", "a.r"):
        rules = f"references: [ {{ from: a.r, to: {to} }} ]\n"
        merged, memory, _, _ = validate(folder, name, rules, expected=None)
        note(f"{REFERENCES:,} references against {to}: {merged:.1f} s, "
             f"{merged / REFERENCES * 1e6:.2f} s per million, {memory / 1e6:.0f} MB")
        row(f"peak memory, {REFERENCES:,} references against {to}", f"{memory / 1e6:.0f} MB", "64 MB", memory < 64e6)
    client.drop_database(name)


with tempfile.TemporaryDirectory() as folder:
    fill()
    orphans(folder)
    snapshot(folder)
    client.drop_database(DATABASE)
    constant_memory(folder)
