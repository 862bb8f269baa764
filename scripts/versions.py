"""Tries every command that touches a server on another release of it, with one of everything in the data.

usage: versions.py MARTLET VERSION [SCENARIO…]

VERSION is one that `scripts/setup.sh --versions` fetched, or 6.0.5. SCENARIO is the beginning of a name
below; all of them without. Each prints a line; exit 1 when one failed. What is restored is compared by
pymongo, never by Martlet alone.
"""
import contextlib
import datetime
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import uuid

import pymongo
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp, json_util
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from bson.son import SON

martlet, version, wanted = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3:]
root = pathlib.Path(__file__).resolve().parent.parent
release = tuple(int(part) for part in version.split("."))
mongod = str(root / ".tools/mongod" / version / "bin/mongod")
work = pathlib.Path(tempfile.mkdtemp(prefix="martlet-versions."))
utc = datetime.timezone.utc
now = datetime.datetime.now(utc).replace(microsecond=0)
plain = {name: value for name, value in os.environ.items() if not name.startswith(("MARTLET_", "MONGO_", "BACKUP_"))}
scenarios = []


class Failed(Exception):
    pass


# --- Servers and the program -------------------------------------------------------------------------------

def script(*words, check=True):
    environment = {name: value for name, value in os.environ.items() if name != "MARTLET_MONGOD"}
    done = subprocess.run(
        [root / "scripts/mongod.sh", *map(str, words)], env=environment, capture_output=True, text=True)
    if check and done.returncode:
        raise Failed(f"mongod.sh {' '.join(map(str, words))}: {done.stderr}")
    return done.stdout.strip()


@contextlib.contextmanager
def server(*options, version=version, extra=()):
    name = f"test-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    extra = ["--", "--setParameter", "enableTestCommands=1", "--setParameter", "transactionLifetimeLimitSeconds=5", *extra]
    try:
        yield script("start", "--name", name, "--version", version, "--oplog", 256, *options, *extra)
    finally:
        script("stop", "--name", name, check=False)


class Project:
    """A folder with a store, a configuration and the reference migrations."""

    count = 0

    def __init__(self, uri, database="shop", **more):
        Project.count += 1
        self.folder = work / f"project{Project.count}"
        self.folder.mkdir()
        self.environment = dict(
            plain, MARTLET_URI=uri, BACKUP_DIR=str(self.folder / "store"), MARTLET_MONGOD=mongod, NO_COLOR="1")
        if database:
            self.environment["MARTLET_DB"] = database
        self.environment.update(more)
        shutil.copytree(root / "migrations", self.folder / "migrations")
        (self.folder / "validation").mkdir()
        (self.folder / "config").mkdir()
        (self.folder / "config/app.yaml").write_text("database: shop\n")

    def configure(self, text):
        (self.folder / "martlet.yaml").write_text(text)

    def run(self, *words, code=0, says=None, uri=None):
        environment = dict(self.environment, **({"MARTLET_URI": uri} if uri else {}))
        done = subprocess.run(
            [martlet, *map(str, words)], env=environment, cwd=self.folder, capture_output=True, text=True,
            timeout=300, stdin=subprocess.DEVNULL)
        text = done.stdout + done.stderr
        if os.environ.get("SHOW"):
            print(f"$ martlet {' '.join(map(str, words))}\n{text}[{done.returncode}]", flush=True)
        if done.returncode != code or (says and says not in text):
            raise Failed(
                f"martlet {' '.join(map(str, words))}: exit {done.returncode}, expected {code}"
                f"{f' and {says!r}' if says else ''}\n{text}")
        return done

    def json(self, *words, **more):
        return json.loads(self.run(*words, "--json", **more).stdout)

    def backup(self, *words, **more):
        return self.json("backup", "run", *words, **more)["id"]

    def restore(self, *words, **more):
        return self.run("restore", *words, "--yes", **more)

    @contextlib.contextmanager
    def capture(self, *words):
        """`oplog run` beside what is done inside; stopped as systemd stops it."""
        log = open(self.folder / "oplog.log", "a")
        child = subprocess.Popen(
            [martlet, "oplog", "run", "--slice", "1s", *words], env=self.environment, cwd=self.folder,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield child
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
            code = child.wait(60)
            log.close()
        if code != 0:
            raise Failed(f"oplog run ended with {code}: {(self.folder / 'oplog.log').read_text()}")

    def caught_up(self, uri, moment):
        """Waits until the captured oplog reaches a moment."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            ends = [end_of(path.name) for path in (self.folder / "store/oplog").rglob("*.json")]
            if ends and max(ends) >= moment:
                return
            time.sleep(0.2)
        raise Failed(f"the capture does not reach {moment}: {(self.folder / 'oplog.log').read_text()}")


def end_of(name):
    """The end of a slice, from its name: start_end.json, each seconds-increment."""
    seconds, increment = name.split("_")[1].removesuffix(".json").split("-")
    return Timestamp(int(seconds), int(increment))


def note(words):
    print(f"     {words}", flush=True)


def scenario(body):
    scenarios.append(body)
    return body


# --- Data ----------------------------------------------------------------------------------------------------

def fill(uri, name="shop"):
    """One of everything that this release has."""
    client = pymongo.MongoClient(uri)
    client.drop_database(name)
    db = client[name]
    oid = ObjectId
    db.types.insert_many([
        {"_id": 0, "double": 3.14159, "neg0": -0.0, "inf": float("inf"), "nan": float("nan")},
        {"_id": 1, "string": "plain", "empty": "", "utf8": "žluťoučký 馬 🐦 \0 after", "long": "x" * 5000},
        {"_id": 2, "doc": {"a": {"b": [1, [2, {"c": None}]]}}, "emptydoc": {}, "emptyarr": []},
        {"_id": 3, "bin": Binary(b"\0\1\xff"), "old": Binary(b"old", 2), "uuid": Binary(uuid.uuid4().bytes, 4)},
        {"_id": 4, "oid": oid(), "true": True, "false": False, "null": None},
        {"_id": 5, "date": now, "before": datetime.datetime(1901, 2, 3, tzinfo=utc)},
        {"_id": 6, "regex": Regex("^a.*b$", "im"), "code": Code("return 1"), "scope": Code("return x", {"x": 1})},
        {"_id": 7, "i32": -2147483648, "i64": Int64(2**63 - 1), "small": Int64(5)},
        {"_id": 8, "dec": Decimal128("1234567890.123456789"), "decnan": Decimal128("NaN"), "neg": Decimal128("-0E-6176")},
        {"_id": 9, "min": MinKey(), "max": MaxKey(), "ts": Timestamp(1700000000, 7), "ref": DBRef("users", oid())},
    ])
    kinds = [1, 2.5, Int64(3), "a", oid(), {"k": 1}, Binary(b"z"), True, now, None, Decimal128("9.5"), MinKey(), MaxKey(), Timestamp(1, 1)]
    db.mixed_ids.insert_many([{"_id": kind} for kind in kinds])
    db.zero_times.insert_many([{"_id": Timestamp(0, 0)}, {"_id": 2, "in": {"t": Timestamp(0, 0)}}])

    users = [{"_id": oid(), "email": f"u{i}@example.com", "name": f"User {i}", "age": 18 + i % 70} for i in range(400)]
    db.users.insert_many(users)
    db.users.create_index("email", unique=True)
    db.users.create_index([("name", 1), ("age", -1)], name="by_name_age", collation={"locale": "en", "strength": 2})
    db.users.create_index("age", partialFilterExpression={"age": {"$gte": 65}}, name="seniors")
    db.orders.insert_many([{
        "_id": oid(), "user_id": users[i % 400]["_id"], "status": ["pending", "paid", "shipped"][i % 3],
        "total": Decimal128(f"{i}.50"), "created_at": now - datetime.timedelta(minutes=i),
        "items": [{"sku": f"s{i % 99}", "qty": 1 + i % 4}],
        "loc": {"type": "Point", "coordinates": [i % 170, i % 80]}, "note": f"Bird of passage number {i}",
    } for i in range(1500)])
    db.orders.create_index("user_id")
    db.orders.create_index([("status", 1), ("created_at", -1)])
    db.orders.create_index([("note", "text")], default_language="english", weights={"note": 3})
    db.orders.create_index([("loc", "2dsphere")])
    db.orders.create_index([("user_id", "hashed")])
    db.orders.create_index([("items.$**", 1)])
    db.orders.create_index("total", sparse=True, **({"hidden": True} if release >= (4, 4) else {}))
    db.sessions.create_index("at", expireAfterSeconds=86400)
    db.sessions.insert_many([{"at": now, "n": i} for i in range(50)])
    db.create_collection("empty")
    db.empty.create_index("never")
    db.create_collection("validated", validator={"sku": {"$type": "string"}}, validationLevel="moderate")
    db.command("insert", "validated", documents=[{"_id": 1, "sku": "a"}, {"_id": 2, "legacy": True}], bypassDocumentValidation=True)
    db.create_collection("collated", collation={"locale": "fr", "strength": 1})
    db.collated.insert_many([{"v": "é"}, {"v": "E"}])
    db.create_collection("paid_orders", viewOn="orders", pipeline=[{"$match": {"status": "paid"}}, {"$project": {"note": 0}}])
    for odd in ["with space", "with.dots.in.it", "percent%2Fsign", "unicode_ž馬", "plus+and&amp"]:
        db[odd].insert_one({"_id": 1, "from": odd})
    # On 4.2 database and collection together may have 120 bytes.
    db["n" * (119 - len(name) if release < (4, 4) else 200)].insert_one({"_id": 1})
    db.keys.insert_one({"_id": 1, "": "empty key", "a.b": "dotted", "2fa": SON([("z", 1), ("a", 2)])})
    db.big.insert_one({"_id": 1, "blob": "abcdefgh" * (1 << 17)})
    if release >= (5,):
        db.create_collection("metrics", timeseries={"timeField": "t", "metaField": "m", "granularity": "minutes"})
        db.metrics.insert_many([{"t": now - datetime.timedelta(minutes=i), "m": {"host": i % 3}, "v": i * 1.5} for i in range(300)])
        db.metrics.create_index([("m.host", 1), ("t", 1)])
        # 5.0 keeps both in one bucket, which the last releases of 6.0 take on request only.
        db.create_collection("mixed", timeseries={"timeField": "t", "metaField": "m"})
        db.mixed.insert_many([{"t": now, "m": 1, "v": 1}, {"t": now, "m": 1, "v": "one"}])
        if release >= (6, 0, 27):
            db.command("collMod", "mixed", timeseriesBucketsMayHaveMixedSchemaData=True)
        db.command("insert", "dollars", documents=[{"_id": 1, "$top": 1, "in": {"$inner": 2}}])
    if release >= (6,):
        db.create_collection("clustered", clusteredIndex={"key": {"_id": 1}, "unique": True, "name": "ck"})
        db.clustered.insert_many([{"_id": i, "v": i} for i in range(20)])
        db.create_collection("imaged", changeStreamPreAndPostImages={"enabled": True})
        db.imaged.insert_one({"_id": 1})
    with contextlib.suppress(pymongo.errors.OperationFailure):
        db.command("createRole", "auditor", roles=[], privileges=[{"resource": {"db": name, "collection": "orders"}, "actions": ["find"]}])
        db.command("createUser", "reporter", pwd="not-a-secret", roles=["read", "auditor"])
    return db


def add_capped(db):
    db.create_collection("capped", capped=True, size=65536, max=100)
    db.capped.insert_many([{"n": i} for i in range(150)])


def picture(db, leave=("migrations", )):
    """What a restore has to bring back, told by pymongo."""
    raw = CodecOptions(document_class=RawBSONDocument)
    out = {}
    for info in db.list_collections():
        name = info["name"]
        if name.startswith("system.") or any(name.startswith(start) for start in leave):
            continue
        options = dict(info.get("options", {}))
        if info["type"] == "timeseries":
            # Whether buckets may hold several types of a field: the last releases of 6.0 keep it here.
            options.pop("storageEngine", None)
        # What collMod writes out; nothing can remove it again.
        for option, default in (("validationAction", "error"), ("validationLevel", "strict")):
            if options.get(option) == default:
                del options[option]
        entry = {"type": info["type"], "options": json_util.dumps(options, sort_keys=True)}
        if info["type"] != "view":
            indexes = [{k: v for k, v in index.items() if k != "ns"} for index in db[name].list_indexes()]
            # Servers order an index's options as they like; its key's order counts.
            indexes = [dict(index, key=list(index["key"].items())) for index in sorted(indexes, key=lambda index: index["name"])]
            entry["indexes"] = [json_util.dumps(index, sort_keys=True) for index in indexes]
        documents = [bytes(document.raw) for document in db.get_collection(name, codec_options=raw).find()]
        entry["count"] = len(documents)
        entry["hash"] = hashlib.sha256(b"".join(documents if info.get("options", {}).get("capped") else sorted(documents))).hexdigest()
        out[name] = entry
    return out


def same(actual, expected, where):
    names = [
        f"{name}: {key}: {(actual.get(name) or {}).get(key)} instead of {(expected.get(name) or {}).get(key)}"
        for name in sorted(set(actual) | set(expected))
        for key in ("type", "options", "indexes", "count", "hash")
        if (actual.get(name) or {}).get(key) != (expected.get(name) or {}).get(key)
    ]
    if names:
        raise Failed(f"{where}: " + "; ".join(names)[:3000])


def nothing_left(client):
    """No temporary collection, no open journal."""
    for name in client.list_database_names():
        found = [c for c in client[name].list_collection_names() if c.startswith("martlet.restore.") or "tmp" in c]
        if found:
            raise Failed(f"left behind in {name}: {found}")


def spoil(db):
    """What an operator regrets."""
    db.users.delete_many({"age": {"$lt": 40}})
    db.orders.update_many({}, {"$set": {"total": 0}})
    db.orders.drop_index("user_id_1")
    db.sessions.drop()
    db.validated.insert_one({"sku": "new"})
    db.newcomer.insert_one({})
    if "metrics" in db.list_collection_names():
        db.metrics.insert_one({"t": now, "m": {"host": 9}, "v": 0.0})


def moment(client):
    """The time of the last thing that was done."""
    client.admin.command("appendOplogNote", data={"at": 1})
    entry = client.local["oplog.rs"].find_one(sort=[("$natural", -1)])
    return entry["ts"]


def text(stamp):
    return f"{stamp.time}:{stamp.inc}"


# --- What is tried -----------------------------------------------------------------------------------------------

@scenario
def backup_and_restore():
    """Sets of every kind; verify, drill; restore beside, in place, in part and under another name."""
    with server() as uri:
        client = pymongo.MongoClient(uri)
        db, other = fill(uri), fill(uri, "other")
        project = Project(uri)
        project.configure("backup:\n  files: [config]\n  commands:\n    - { name: words, dump: echo some words, restore: sh -c 'cat > words' }\n")
        before, before_other = picture(db), picture(other)
        one = project.backup("--kind", "database", "--tag", "one")
        files = project.backup("--kind", "files")
        full = Project(uri, None, BACKUP_DIR=project.environment["BACKUP_DIR"])
        shutil.copy(project.folder / "martlet.yaml", full.folder)
        whole = full.backup("--kind", "full")
        mode = "snapshot" if release >= (5,) else "oplog"
        for backup in project.json("backup", "list")["backups"]:
            if backup["id"] != files and backup["consistency"] != mode:
                raise Failed(f"{backup['id']} is of mode {backup['consistency']}, not {mode}")
        project.run("backup", "list")
        for backup in (one, files, whole):
            project.run("backup", "show", backup)
            for depth in ("manifest", "checksums", "documents"):
                project.run("backup", "verify", backup, "--depth", depth)
        for backup in (one, whole):
            drill = project.json("backup", "drill", backup)
            if drill["serverVersion"] != version:
                raise Failed(f"the drill ran on {drill['serverVersion']}")

        project.restore(whole, "--dry-run")
        project.run("validate", "before", "--save", "before.json")
        spoil(db)
        project.restore(one)
        after = picture(db)
        after.pop("newcomer")
        same(after, before, "restored beside")
        db.newcomer.drop()
        project.run("validate", "before", "--save", "restored.json")
        project.run("validate", "compare", "before.json", "restored.json")
        same(picture(other), before_other, "the other database")
        nothing_left(client)
        spoil(db)
        spoil(other)
        full.restore(whole)
        for each, wanted in ((db, before), (other, before_other)):
            after = picture(each)
            after.pop("newcomer")
            same(after, wanted, f"the whole server restored, {each.name}")
        spoil(db)
        project.restore(one, "--in-place")
        after = picture(db)
        after.pop("newcomer")
        same(after, before, "restored in place")
        spoil(db)
        spoiled = picture(db)
        project.restore(one, "--only", "shop.users", "--only", "shop.sessions")
        same(picture(db), dict(spoiled, users=before["users"], sessions=before["sessions"]), "a part")
        project.restore(one, "--rename", "shop.*=side.*")
        views = {"paid_orders"}
        same({k: v for k, v in picture(client.side).items() if k not in views},
             {k: v for k, v in before.items() if k not in views}, "beside under another name")
        project.restore(one, "--users")
        safety = [b["id"] for b in project.json("backup", "list")["backups"] if "safety" in b.get("tags", [])]
        if not safety:
            raise Failed("no safety backup is listed")
        project.restore(whole, "--files", project.folder / "unpacked")
        project.restore(whole, "--commands", "words")
        if not (project.folder / "unpacked/config/app.yaml").exists() or (project.folder / "words").read_text() != "some words\n":
            raise Failed("files or the stream did not come back")

        project.run("backup", "copy", whole, project.folder / "elsewhere")
        project.run("backup", "verify", whole, "--store", project.folder / "elsewhere", "--depth", "documents")
        project.run("backup", "prune", "--keep-last", "2", "--dry-run")
        project.run("backup", "prune", "--keep-last", "2")
        project.run("metrics")
        nothing_left(client)


@scenario
def capped():
    """A capped collection forces oplog mode."""
    with server() as uri:
        client = pymongo.MongoClient(uri)
        db = fill(uri)
        add_capped(db)
        before = picture(db)
        project = Project(uri)
        one = project.backup()
        project.run("backup", "verify", one, "--depth", "documents")
        project.run("backup", "drill", one)
        spoil(db)
        db.capped.insert_one({"n": 999})
        project.restore(one)
        after = picture(db)
        after.pop("newcomer")
        same(after, before, "restored")
        spoil(db)
        project.restore(one, "--in-place")
        after = picture(db)
        after.pop("newcomer")
        same(after, before, "restored in place")
        nothing_left(client)


@scenario
def recovery():
    """Any moment: transactions, renames, drops, index builds, views and time-series after the base."""
    with server() as uri:
        client = pymongo.MongoClient(uri)
        db, other = fill(uri), fill(uri, "other")
        add_capped(db)
        project = Project(uri)
        project.backup()
        with project.capture():
            change(db)
            first, then = picture(db), moment(client)
            change_more(db)
            second, later = picture(db), moment(client)
            spoil(db)
            db.drop_collection("types")
            end = moment(client)
            project.caught_up(uri, end)
            project.run("oplog", "status")
            project.run("restore", "--to-time", text(then), "--dry-run")
            for stamp, wanted in ((then, first), (later, second)):
                project.restore("--to-time", text(stamp))
                gone = {name: entry for name, entry in picture(db).items() if name in wanted}
                same(gone, wanted, f"recovered to {stamp}")
                nothing_left(client)
            project.restore("--to-time", text(then), "--rename", "shop.*=then.*", "--only", "shop.orders", "--only", "shop.keys")
            same(picture(client.then), {name: first[name] for name in ("orders", "keys")}, "a part under another name")
            project.run("restore", "--to-time", text(Timestamp(end.time + 1000, 1)), "--yes", code=1, says="HINT")
            project.run("restore", "--to-time", "2020-01-01T00:00:00Z", "--yes", code=1, says="HINT")
            same({n: e for n, e in picture(other).items()}, picture(other), "the other database")


def change(db):
    """What an application and its operators do after a base."""
    with db.client.start_session() as session:
        with session.start_transaction():
            db.users.update_many({"age": {"$lt": 30}}, {"$inc": {"age": 1}}, session=session)
            db.orders.delete_many({"status": "pending"}, session=session)
            db.orders.insert_one({"_id": "new", "items": []}, session=session)
    db.orders.update_many({"status": "paid"}, {"$push": {"items": {"$each": [{"sku": "x"}], "$slice": 2}}})
    db.orders.update_one({"_id": "new"}, {"$set": {"deep": {"a": [1, 2, {"b": 3}]}}})
    db.orders.update_one({"_id": "new"}, {"$set": {"deep.a.2.b": 4}, "$unset": {"items": ""}})
    db.orders.update_one({"_id": "new"}, [{"$set": {"copy": "$deep"}}])
    db.keys.replace_one({"_id": 1}, {"_id": 1, "replaced": True})
    db.users.find_one_and_update({"age": 40}, {"$set": {"name": "found"}})
    db.capped.insert_many([{"n": 1000 + i} for i in range(20)])
    db.validated.update_one({"_id": 2}, {"$set": {"more": 1}})
    db.create_collection("made")
    db.made.create_index([("a", 1)], unique=True)
    db.made.insert_many([{"a": i} for i in range(100)])
    db.users.create_index("late")
    db.users.drop_index("seniors")
    db.command("collMod", "sessions", index={"keyPattern": {"at": 1}, "expireAfterSeconds": 172800})
    db.command("collMod", "validated", validator={"sku": {"$exists": True}})
    db.empty.rename("emptied")
    db.collated.drop()
    db["with space"].rename("with.dots.in.it", dropTarget=True)
    if release >= (5,):
        db.metrics.insert_one({"t": now, "m": {"host": 1}, "v": 1.25})
        db.metrics.create_index([("m.host", -1)])
        db.create_collection("late_mixed", timeseries={"timeField": "t"})
        db.late_mixed.insert_many([{"t": now, "v": "two"}, {"t": now, "v": 2.0}])
        db.mixed.insert_many([{"t": now, "m": 2, "v": "two"}, {"t": now, "m": 2, "v": 2.0}])
    if release >= (6,):
        db.clustered.update_one({"_id": 3}, {"$set": {"v": -3}})
        db.clustered.delete_one({"_id": 4})


def change_more(db):
    db.create_collection("newest_orders", viewOn="orders", pipeline=[{"$sort": {"created_at": -1}}, {"$limit": 3}])
    db.made.rename("renamed")
    db.renamed.delete_many({"a": {"$lt": 50}})
    db.drop_collection("mixed_ids")
    db.orders.drop_index("items.$**_1")
    if release >= (5,):
        db.create_collection("late_metrics", timeseries={"timeField": "t"})
        db.late_metrics.create_index([("t", -1)])
        db.late_metrics.insert_many([{"t": now, "v": i} for i in range(10)])
    with db.client.start_session() as session:
        # More than one oplog entry.
        big = [{"_id": i, "email": f"big{i}", "blob": "x" * 1000000} for i in range(20)]
        session.with_transaction(lambda session: db.users.insert_many(big, session=session))


MORE = """
up:
  - collMod: validated
    validator: { sku: { $exists: true }, $expr: { $gte: [ $sku, a ] } }
  - create: checked
    validator: { $jsonSchema: { required: [ name ] } }
    collation: { locale: en }
  - createIndexes: orders
    indexes: [ { key: { status: 1 }, name: paid, partialFilterExpression: { status: { $eq: paid } } } ]
  - dropIndexes: users
    index: seniors
  - collMod: sessions
    index: { name: at_1, expireAfterSeconds: 90000 }
  - update: users
    updates: [ { q: { age: { $gt: 30 } }, u: { $inc: { age: 1 }, $set: { seen: true } }, multi: true } ]
  - update: orders
    updates: [ { q: {}, u: [ { $set: { items_count: { $size: $items } } } ], multi: true } ]
  - delete: sessions
    deletes: [ { q: { n: { $lt: 10 } }, limit: 0 } ]
  - renameCollection: collated
    to: collated_later
  - drop: validated
  - create: cheap
    viewOn: orders
    pipeline: [ { $match: { status: paid } } ]
"""


@scenario
def migrations():
    """`migrate up` with a backup before it, the mark, and the way back to before a migration."""
    with server() as uri:
        client = pymongo.MongoClient(uri)
        db = fill(uri)
        project = Project(uri)
        project.configure("environment: production\nmigrations: { backup: auto }\n")
        before = picture(db)
        project.backup()
        with project.capture():
            project.run("migrate", "plan")
            project.run("migrate", "up", "--yes")
            ledger = list(db.migrations.find({}))
            if not all(entry["status"] == "success" for entry in ledger) or len(ledger) != 5:
                raise Failed(f"the ledger has {[(e['_id'], e['status']) for e in ledger]}")
            project.run("migrate", "status")
            up = picture(db)
            project.caught_up(uri, moment(client))
            project.restore("--before-migration", "002_two_factor")
            users = picture(db)["users"]
            if users != before["users"]:
                raise Failed("users are not as they were before 002")
            if db.migrations.find_one({"_id": "002_two_factor", "status": "success"}):
                raise Failed("the ledger still says that 002 is applied")
            project.run("restore", "--before-migration", "009_none", "--yes", code=1, says="no mark")
        (project.folder / "migrations/006_more.yaml").write_text(MORE)
        project.run("migrate", "lint")
        project.run("migrate", "up", "--yes")
        project.run("migrate", "show", "006_more")
        project.run("migrate", "down", "--all", "--yes")
        after = {name: entry for name, entry in picture(db).items() if name in before}
        same(after, before, "taken back")


@scenario
def validation():
    """before, after and compare, on clean data and with planted faults."""
    with server() as uri:
        db = seeded(uri)
        project = Project(uri)
        shutil.copy(root / "validation/rules.yaml", project.folder / "validation")
        project.configure("migrations: { backup: never }\n")
        project.run("validate", "before", "--save", "before.json", "--report", "reports", "--write-check")
        project.run("migrate", "up", "--yes")
        project.run("validate", "after", "--against", "before.json", "--report", "reports", "--integrity")
        project.run("validate", "after", "--save", "after.json")
        one = project.backup()
        project.run("validate", "compare", "after.json", project.folder / "store" / one / "manifest.json")
        project.run("validate", "compare", "before.json", "after.json", says="every difference is declared")
        db.orders.update_one({}, {"$set": {"user_id": ObjectId()}})
        db.users.drop_indexes()
        found = project.json("validate", "after", "--against", "before.json", code=4)
        ids = {result["id"] for result in found["checks"] if result["status"] == "failed"}
        for planted in ("orphaned-references", "index-missing"):
            if planted not in ids:
                raise Failed(f"{planted} was not found: {ids}")
        project.run("doctor")


def seeded(uri):
    """Martlet's own sample shop, made by this release."""
    project = Project(uri)
    project.run("dev", "seed")
    return pymongo.MongoClient(uri).shop


@scenario
def window():
    """The whole window with all its hooks, one that fails and is taken back, and one that is restored."""
    with server() as uri:
        db = seeded(uri)
        for failure in ("down", "restore", None):
            project = Project(uri)
            shutil.copy(root / "validation/rules.yaml", project.folder / "validation")
            if failure:
                (project.folder / "migrations/006_fails.yaml").write_text(
                    "up:\n  - create: late\n  - update: users\n    updates: [{ q: {}, u: { $set: { x: 1 } }, multi: true }]\n"
                    "  - update: users\n    updates: [{ q: {}, u: { $inc: { email: 1 } }, multi: true }]\n")
            project.configure(
                "window:\n  stop: [echo stopped >> hooks]\n  start: [echo started >> hooks]\n"
                f"  health: [test -e hooks]\n  on_failure: {failure or 'stop'}\nnotify: {{ metrics: martlet.prom }}\n"
                "backup:\n  files: [config]\n")
            before = picture(db)
            project.run("window", "--dry-run")
            if not failure:
                project.run("window", "--yes", "--report", "reports")
                if db.migrations.count_documents({"status": "success"}) != 5:
                    raise Failed("the migrations are not applied")
            else:
                code = subprocess_code(project, "window", "--yes", "--report", "reports")
                if code == 0:
                    raise Failed("the window that fails ended with 0")
                after = {name: entry for name, entry in picture(db).items() if name in before}
                same(after, before, f"after {failure}")
            hooks = (project.folder / "hooks").read_text().split()
            if hooks != ["stopped", "started"]:
                raise Failed(f"hooks: {hooks}")
            if len(list((project.folder / "reports").iterdir())) < 3:
                raise Failed("the report is not complete")
            for name in list(db.list_collection_names()):
                if name.startswith("migrations"):
                    db.drop_collection(name)


def subprocess_code(project, *words):
    done = subprocess.run([martlet, *words], env=project.environment, cwd=project.folder, capture_output=True, text=True)
    if os.environ.get("SHOW"):
        print(done.stdout + done.stderr)
    return done.returncode


@scenario
def standalone():
    """What works without a replica set, and what says that it does not."""
    with server("--standalone") as uri:
        db = fill(uri)
        add_capped(db)
        before = picture(db)
        project = Project(uri)
        one = project.backup()
        project.run("backup", "verify", one, "--depth", "documents")
        project.run("backup", "drill", one)
        spoil(db)
        project.restore(one)
        after = picture(db)
        after.pop("newcomer")
        same(after, before, "restored")
        spoil(db)
        project.restore(one, "--in-place")
        after = picture(db)
        after.pop("newcomer")
        same(after, before, "restored in place")
        project.run("oplog", "run", code=10, says="replica set")
        project.run("restore", "--to-time", "2026-01-28T10:00:00Z", "--yes", code=1, says="HINT")
        project.run("validate", "before", "--save", "before.json")
        project.run("validate", "compare", "before.json", project.folder / "store" / one / "manifest.json", code=4)


@scenario
def access():
    """Access control: a wrong password, the documented roles, too few of them, and no server."""
    with server("--auth") as uri:
        client = pymongo.MongoClient(uri)
        db = fill(uri)
        before = picture(db)
        hosts = uri.split("@")[1]
        roles = ["backup", "restore", "readWriteAnyDatabase", "dbAdminAnyDatabase", "clusterMonitor"]
        client.admin.command("createUser", "keeper", pwd="kept", roles=roles)
        client.admin.command("createUser", "reader", pwd="read", roles=["readAnyDatabase"])
        client.admin.command("createUser", "nobody", pwd="none", roles=[])
        wrong = f"mongodb://keeper:nope@{hosts}"
        project = Project(f"mongodb://keeper:kept@{hosts}")
        for words in (["backup", "run"], ["oplog", "run"], ["validate", "before"], ["migrate", "up", "--yes"], ["window", "--yes", "--abandon"]):
            project.run(*words, uri=wrong, code=12)
            project.run(*words, uri="mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300", code=10)
            project.run(*words, uri=f"mongodb://nobody:none@{hosts}", code=12)
        one = project.backup()
        for address in (wrong, f"mongodb://nobody:none@{hosts}", f"mongodb://reader:read@{hosts}"):
            project.run("restore", one, "--yes", uri=address, code=12)
        project.run("restore", one, "--yes", uri="mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300", code=10)
        same(picture(db), before, "after refusals")
        spoil(db)
        with project.capture():
            project.restore(one)
            after = picture(db)
            after.pop("newcomer")
            same(after, before, "restored with the documented roles")
            # A restore ends the timeline.
            project.backup()
            stamp = moment(client)
            db.users.delete_many({})
            project.caught_up(uri, moment(client))
            project.restore("--to-time", text(stamp))
            after = picture(db)
            after.pop("newcomer")
            same(after, before, "recovered with the documented roles")
        project.restore(one, "--users")
        if "reporter" not in [user["user"] for user in db.command("usersInfo")["users"]]:
            raise Failed("the user is not restored")
        project.run("validate", "before", "--save", "before.json", code=0)


@scenario
def elections():
    """Three members: a stepdown and a killed primary under a capture, a backup and a restore."""
    name = f"test-{os.getpid()}-three"
    try:
        uri = script("start", "--name", name, "--version", version, "--members", 3, "--oplog", 256, "--", "--setParameter", "enableTestCommands=1")
        client = pymongo.MongoClient(uri, w="majority", retryWrites=True)
        db = fill(uri)
        original = picture(db)
        project = Project(uri)
        one = project.backup()
        with project.capture() as child:
            db.users.update_many({}, {"$inc": {"age": 1}})
            step_down(client)
            again(lambda: db.users.update_many({"age": {"$gt": 50}}, {"$inc": {"age": 1}}))
            stamp, wanted = moment(client), picture(db)
            kill_primary(client, name)
            again(lambda: db.users.delete_many({}))
            again(lambda: db.late.insert_one({}))
            project.caught_up(uri, again(lambda: moment(client)))
            if child.poll() is not None:
                raise Failed("the capture has ended")
            status = project.json("oplog", "status")
            if any(chain.get("gaps") for chain in status.get("chains", [])):
                raise Failed(f"a gap: {status}")
            project.restore("--to-time", text(stamp))
            after = {n: e for n, e in picture(db).items() if n in wanted}
            same(after, wanted, "recovered over two elections")
            # Whatever an election does to it, what is live stays whole, and a second run puts it right.
            for command, delay in [(["restore", one, "--yes"], 0.3), (["restore", one, "--yes"], 1.0), (["restore", one, "--yes"], 1.8), (["backup", "run"], 0.2), (["migrate", "up", "--yes"], 0.5)]:
                before = picture(db)
                child = subprocess.Popen([martlet, *command], env=project.environment, cwd=project.folder,
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                time.sleep(delay)
                step_down(client)
                output, _ = child.communicate(timeout=300)
                note(f"{' '.join(command)} that meets a stepdown after {delay} s: exit {child.returncode}"
                     + (f": {output.strip().splitlines()[-2:]}" if child.returncode else ""))
                if "HINT" not in output and child.returncode:
                    raise Failed(f"no hint: {output}")
                if command[0] == "restore":
                    after = {n: e for n, e in picture(db).items() if n in before}
                    for collection, entry in after.items():
                        if entry not in (before[collection], original.get(collection)):
                            raise Failed(f"{collection} is neither as it was nor as it shall be: {output}")
                    project.restore(one)
                    same({n: e for n, e in picture(db).items() if n in original}, original, "restored after a stepdown")
                    nothing_left(client)
            project.run("migrate", "up", "--yes")
            if db.migrations.count_documents({"status": "success"}) != 5:
                raise Failed("the migrations are not applied")
            project.run("validate", "before", "--secondary", "--save", "before.json", "--report", "reports")
            project.configure("window:\n  stop: [true]\n  start: [true]\n")
            (project.folder / "migrations/006_more.yaml").write_text(
                "up:\n  - update: orders\n    updates: [{ q: {}, u: { $set: { seen: true } }, multi: true }]\n")
            child = subprocess.Popen([martlet, "window", "--yes", "--report", "reports"], env=project.environment,
                                     cwd=project.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            time.sleep(1.5)
            step_down(client)
            output, _ = child.communicate(timeout=300)
            note(f"a window that meets a stepdown: exit {child.returncode}" + (f": {output.strip().splitlines()[-8:]}" if child.returncode else ""))
            if child.returncode:
                project.run("window", "--resume", "--yes", "--report", "reports")
            if db.migrations.count_documents({"status": "success"}) != 6 or db.orders.count_documents({"seen": None}):
                raise Failed("006 is not applied")
        two = project.backup()
        project.run("backup", "verify", two, "--depth", "documents")
    finally:
        script("stop", "--name", name, check=False)


def step_down(client):
    with contextlib.suppress(pymongo.errors.PyMongoError):
        client.admin.command("replSetStepDown", 5, secondaryCatchUpPeriodSecs=5)
    await_primary(client)


def await_primary(client):
    """A majority write goes through."""
    again(lambda: client.probe.marks.insert_one({}))


def again(action):
    """Until it works: on 4.2 not every write is tried again by pymongo."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return action()
        except (pymongo.errors.AutoReconnect, pymongo.errors.OperationFailure):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def kill_primary(client, name):
    port = client.primary[1]
    pids = subprocess.run(["pgrep", "-f", f"port {port} "], capture_output=True, text=True).stdout.split()
    for pid in pids:
        if f"martlet-mongod-{name}" in pathlib.Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(int(pid), signal.SIGKILL)
    await_primary(client)


@scenario
def releases():
    """To newer servers, and the refusal of older ones."""
    every = ["4.2.6", "4.4.2", "5.0.4", "6.0.5", "6.0.27"]
    with server() as uri:
        db = fill(uri)
        before = picture(db)
        project = Project(uri)
        one = project.backup()
        with project.capture():
            change(add_capped(db) or db)
            stamp = moment(pymongo.MongoClient(uri))
            wanted = picture(db)
            project.caught_up(uri, stamp)
        for target in every:
            if target == version or not (root / ".tools/mongod" / target).exists():
                continue
            with server(version=target) as there:
                newer = tuple(map(int, target.split(".")))[:2] >= release[:2]
                if not newer:
                    project.run("restore", one, "--yes", uri=there, code=10, says="older")
                    drill = dict(project.environment, MARTLET_MONGOD=str(root / ".tools/mongod" / target / "bin/mongod"))
                    done = subprocess.run([martlet, "backup", "drill", one], env=drill, cwd=project.folder, capture_output=True, text=True)
                    if done.returncode != 10 or "older" not in done.stderr:
                        raise Failed(f"a drill on the older {target}: {done.returncode} {done.stderr}")
                    continue
                project.run("restore", one, "--yes", uri=there)
                same(picture(pymongo.MongoClient(there).shop), before, f"on {target}")
                project.run("restore", "--to-time", text(stamp), "--yes", uri=there)
                after = {n: e for n, e in picture(pymongo.MongoClient(there).shop).items() if n in wanted}
                same(after, wanted, f"recovered on {target}")


@scenario
def upgrade():
    """The server is upgraded in place under a capture: the old feature version first, then the new one."""
    following = {(4, 2): "4.4.2", (4, 4): "5.0.4", (5, 0): "6.0.27"}.get(release[:2])
    if not following:
        return
    name = f"test-{os.getpid()}-upgrade"
    try:
        uri = script("start", "--name", name, "--version", version, "--oplog", 256)
        client = pymongo.MongoClient(uri)
        db = fill(uri)
        project = Project(uri)
        project.backup()
        with project.capture():
            change(db)
            first, then = picture(db), moment(client)
            project.caught_up(uri, then)
            folder = pathlib.Path(script("status", "--name", name).split("data: ")[1].split("\n")[0]) / "0"
            restart(client, folder, str(root / ".tools/mongod" / following / "bin/mongod"))
            again(lambda: change_more(db))
            second, later = picture(db), moment(client)
            project.caught_up(uri, later)
            for stamp, wanted in ((then, first), (later, second)):
                project.restore("--to-time", text(stamp))
                same({n: e for n, e in picture(db).items() if n in wanted}, wanted, f"recovered to {stamp} on {following}")
            drill = project.backup("--tag", "upgraded")
            project.environment["MARTLET_MONGOD"] = str(root / ".tools/mongod" / following / "bin/mongod")
            project.run("backup", "drill", drill)
            project.run("doctor")
            client.admin.command("setFeatureCompatibilityVersion", ".".join(following.split(".")[:2]))
            db.users.insert_one({"email": "last"})
            third, last = picture(db), moment(client)
            project.caught_up(uri, last)
            spoil(db)
            project.restore("--to-time", text(last))
            same({n: e for n, e in picture(db).items() if n in third}, third, f"recovered past the feature version")
            if release[:2] == (5, 0) and "MixedSchema" not in str(list(db.list_collections(filter={"name": "metrics"}))):
                raise Failed("what the new feature version has set is lost")
            status = project.json("oplog", "status")
            if any(chain.get("gaps") for chain in status.get("chains", [])):
                raise Failed(f"a gap: {status}")
        with server() as old:
            project.run("restore", "--to-time", text(last), "--yes", uri=old, code=10, says="older")
        nothing_left(client)
    finally:
        script("stop", "--name", name, check=False)


def restart(client, folder, binary):
    """The same data under another mongod."""
    pid = int((folder / "pid").read_text())
    arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[1:-1]
    with contextlib.suppress(pymongo.errors.AutoReconnect):
        client.admin.command("shutdown", force=True)
    while pathlib.Path(f"/proc/{pid}").exists() and b"mongod" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
        time.sleep(0.1)
    subprocess.run([binary, *arguments], check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    await_primary(client)


def main():
    status = 0
    try:
        for body in scenarios:
            if wanted and not any(body.__name__.startswith(start) for start in wanted):
                continue
            begun = time.monotonic()
            try:
                body()
                print(f"ok   {version}  {body.__name__}  {time.monotonic() - begun:.0f} s", flush=True)
            except Exception as error:  # each scenario is told, none ends the others
                status = 1
                detail = str(error) if isinstance(error, Failed) else traceback.format_exc()
                print(f"FAIL {version}  {body.__name__}  {time.monotonic() - begun:.0f} s\n{detail}", flush=True)
    finally:
        if not os.environ.get("KEEP"):
            shutil.rmtree(work, ignore_errors=True)
    sys.exit(status)


main()
