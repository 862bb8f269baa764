"""SIGKILLs over backup, prune, oplog capture and restore, under writers.

torture_kills.py URI MARTLET [ROUNDS [SEED]]

The live data is another before each restore, so that what was, what is restored and anything half differ.
Writers insert all the time; whatever was acknowledged must be live, in a safety backup or kept. In the end
moments are restored from the captured slices. Exits 1 when anything was lost, half or left behind.
"""
import atexit
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timedelta, timezone

import pymongo

uri, martlet = sys.argv[1], sys.argv[2]
rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 20
seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.randrange(1 << 30)
choose = random.Random(seed)
print(f"seed {seed}, {rounds} rounds", flush=True)
name = f"torture_{os.getpid()}"
work = tempfile.mkdtemp()
environment = dict(os.environ, MARTLET_URI=uri, MARTLET_DB=name, BACKUP_DIR=work + "/store", TMPDIR=work)
client = pymongo.MongoClient(uri, w="majority")
db = client[name]
with open(work + "/martlet.yaml", "w") as file:
    file.write("backup: { keep: { last: 6 } }\n")
problems = []
children = []
MOMENT = datetime(2026, 1, 1, tzinfo=timezone.utc)


def clean():
    """However it ends, also by SIGTERM: nothing goes on, and nothing stays."""
    for writer in writers:
        writer.stop.set()
    for writer in writers:
        if writer.is_alive():
            writer.join(30)
    for child in children:
        if child.poll() is None:
            child.kill()
            child.wait()
    for database in (name, f"{name}_safety"):
        client.drop_database(database)
    client.martlet_restore.journal.delete_many({"databases": name})
    shutil.rmtree(work, ignore_errors=True)


def start(*words, **streams):
    child = subprocess.Popen([martlet, *words], env=environment, cwd=work, **streams)
    children.append(child)
    return child


writers = []
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
atexit.register(clean)


def problem(text):
    problems.append(text)
    print("PROBLEM:", text, flush=True)


def run(*words):
    return subprocess.run([martlet, *words], env=environment, cwd=work, capture_output=True, text=True)


def must(*words):
    done = run(*words)
    if done.returncode:
        problem(f"martlet {' '.join(words)}: {done.returncode}\n{done.stderr[-1500:]}")
    return done


def digest(rows):
    out = hashlib.sha256()
    for row in sorted(rows):
        out.update(row.encode())
    return out.hexdigest()[:12]


def picture():
    """What the collections that only this thread changes hold, and their indexes."""
    out = {}
    for part in ("a", "b"):
        rows = [json.dumps(d, default=str, sort_keys=True) for d in db[part].find()]
        out[part] = f"{len(rows)} {digest(rows)} {','.join(sorted(db[part].index_information()))}"
    rows = [f"{d['t']} {d['v']}" for d in db.metrics.find({"v": {"$exists": True}}, {"_id": 0})]
    out["metrics"] = f"{len(rows)} {digest(rows)}"
    return out


version = 0


def change():
    """Another state: no document stays as it was."""
    global version
    version += 1
    db.a.delete_many({"_id": {"$mod": [7, version % 7]}})
    db.a.update_many({}, {"$set": {"v": version}})
    db.a.insert_many([{"_id": version * 10_000 + i, "n": i, "v": version, "s": "x" * 200} for i in range(300)])
    db.b.update_many({}, {"$set": {"v": version}})
    db.metrics.insert_many([{"t": MOMENT + timedelta(seconds=version * 100 + i), "v": version} for i in range(20)])


class Writer(threading.Thread):
    def __init__(self, number):
        super().__init__(daemon=True)
        self.number, self.count, self.stop = number, 0, threading.Event()
        self.acknowledged = []

    def run(self):
        own = pymongo.MongoClient(uri, w="majority")[name]
        while not self.stop.is_set():
            key = f"{self.number}-{self.count}"
            self.count += 1
            try:
                if self.number == 0:
                    own.metrics.insert_one({"t": datetime.now(timezone.utc), "key": key})
                else:
                    own.w.insert_one({"_id": key})
                self.acknowledged.append(key)
            except pymongo.errors.PyMongoError as error:
                print("a write failed:", type(error).__name__, getattr(error, "code", None), flush=True)
            time.sleep(0.004)


def sets():
    done = must("backup", "list", "--json")
    found = json.loads(done.stdout).get("backups", []) if done.returncode == 0 else []
    return {s["id"]: s for s in found}


def is_safety(entry):
    return "safety" in (entry.get("tags") or [])


pictures = {}  # by set
seen_safety = set()
settled = set()


def note_sets(now):
    """Sets that came into being while nothing but `w` changed."""
    found = sets()
    for identifier, entry in found.items():
        if not is_safety(entry):
            pictures.setdefault(identifier, now)
    return found


usual = {"backup": 0.8, "prune": 0.15, "oplog": 1.2, "restore": 0.8}  # seconds


def kill_during(kind, words, notices):
    """Starts it, and kills it at a random moment, or soon after it says one of these."""
    began = time.monotonic()
    process = start(*words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    on = choose.choice(notices) if notices and choose.random() < 0.7 else None
    said = []
    if on is None:
        timer = threading.Timer(choose.uniform(0.02, 1.1) * usual[kind], process.kill)
        timer.start()
        said = process.stderr.readlines()
        timer.cancel()
    else:
        delay = choose.choice([0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1])
        for line in process.stderr:
            said.append(line)
            if on in line:
                time.sleep(delay)
                process.send_signal(signal.SIGKILL)
    process.wait()
    if process.returncode == 0:
        usual[kind] = (usual[kind] + time.monotonic() - began) / 2
    return process.returncode, "".join(said), on


def keys(database, *names):
    """What writers have put into these collections."""
    found = set()
    for part in names:
        found |= {d.get("key", d.get("_id")) for d in database[part].find({}, {"_id": 1, "key": 1})}
    return {key for key in found if isinstance(key, str)}


def check_writes(writers, where):
    """Every acknowledged write is live, in a safety backup, or kept."""
    required = {key for w in writers for key in list(w.acknowledged)} - settled
    found = keys(db, "w", "metrics")
    for collection in db.list_collection_names():
        if collection.startswith("martlet.restore."):
            parts = collection.split(".")
            if parts[3].startswith("k") or parts[3] == "martlet-aside":
                kept = keys(db, collection)
                found |= kept
                settled.update(kept)
                db.drop_collection(collection)
            else:
                problem(f"{where}: {collection} was left behind")
    for identifier, entry in sets().items():
        if not is_safety(entry) or identifier in seen_safety:
            continue
        seen_safety.add(identifier)
        if required <= found:
            continue
        copy = f"{name}_safety"
        client.drop_database(copy)
        must("restore", identifier, "--only", f"{name}.w", "--only", f"{name}.metrics",
             "--rename", f"{name}.*={copy}.*", "--yes", "--quiet", "--no-safety-backup")
        saved = keys(client[copy], "w", "metrics")
        client.drop_database(copy)
        found |= saved
        settled.update(saved)
    lost = required - found
    if lost:
        problem(f"{where}: {len(lost)} acknowledged writes are lost, {sorted(lost)[:5]}")
        settled.update(lost)


db.a.insert_many([{"_id": i, "n": i, "s": "x" * 200} for i in range(4000)])
db.a.create_index("n")
db.b.insert_many([{"_id": i} for i in range(500)])
db.create_collection("metrics", timeseries={"timeField": "t"})
db.w.insert_one({"_id": "first"})
change()
writers.extend(Writer(n) for n in range(2))
for writer in writers:
    writer.start()
must("backup", "run", "--kind", "database", "--quiet")
note_sets(picture())
kills = swapping = 0
for number in range(1, rounds + 1):
    kind = choose.choice(["backup", "prune", "oplog", "restore", "restore", "restore"])
    words, notices = {
        "backup": (["backup", "run", "--kind", "database", "--quiet"], []),
        "prune": (["backup", "prune", "--quiet"], []),
        "oplog": (["oplog", "run", "--slice", "1s", "--quiet"], []),
        "restore": ([], ["swapping", "swapping", "in place", "comparing", "backing up"]),
    }[kind]
    # Of what a restore needs nothing else may be there twice.
    change()
    before = picture()
    target = None
    if kind == "restore":
        target = choose.choice([i for i, s in sorted(sets().items()) if i in pictures])
        words = ["restore", target, "--yes"]
    status, said, on = kill_during(kind, words, notices)
    where = f"round {number} ({' '.join(words)}, {'after ' + on if on else 'any time'})"
    kills += status == -signal.SIGKILL
    swapping += "swapping" in said and status == -signal.SIGKILL
    if kind == "restore":
        wanted = pictures[target]
        now = picture()
        for part, state in now.items():
            # A time-series cannot be renamed: it is dropped and loaded, and the journal says so.
            reloading = part == "metrics" and "in place" in said
            if state not in (before[part], wanted[part]) and not reloading:
                problem(f"{where}: {part} is half: {state}, was {before[part]}, restored {wanted[part]}")
        if "swapping" not in said and now != before:
            problem(f"{where}: changed before the first swap")
        must("restore", target, "--yes", "--quiet")
        now = picture()
        if now != wanted:
            problem(f"{where}: after the next run {now} instead of {wanted}")
        if client.martlet_restore.journal.find_one({"databases": name}):
            problem(f"{where}: the journal still has it")
        check_writes(writers, where)
    else:
        if picture() != before:
            problem(f"{where}: live data changed")
        note_sets(before)
    done = run("backup", "verify", "--depth", "documents", "--quiet")
    if done.returncode:
        problem(f"{where}: a backup is damaged\n{done.stderr[-800:]}")
    print(where, "killed" if status == -signal.SIGKILL else f"ended with {status}", flush=True)

# To moments, from a base and the slices. Each must be exact, and differ from the others.
must("backup", "run", "--kind", "database", "--quiet")
capture = start("oplog", "run", "--slice", "1s", "--quiet", stderr=subprocess.DEVNULL)
moments = []
for _ in range(3):
    change()
    stamp = client.admin.command("hello")["lastWrite"]["opTime"]["ts"]
    moments.append((stamp, picture()))
    time.sleep(choose.uniform(0.2, 1.2))
for writer in writers:
    writer.stop.set()
for writer in writers:
    writer.join()
db.w.insert_one({"_id": "last"})
end = client.admin.command("hello")["lastWrite"]["opTime"]["ts"]
# The capture is killed too; what goes on after it must join without a gap.
time.sleep(choose.uniform(0, 1.5))
capture.kill()
capture.wait()
capture = start("oplog", "run", "--slice", "1s", "--quiet", stderr=subprocess.DEVNULL)
# It may be an hour behind by now, on a machine that does other things too.
deadline = time.monotonic() + 600
while time.monotonic() < deadline and capture.poll() is None:
    done = run("oplog", "status", "--offline", "--json")
    windows = json.loads(done.stdout)["windows"] if done.returncode == 0 else []
    if any(tuple(map(int, w["endTimestamp"].split(":"))) >= (end.time, end.inc) for w in windows):
        break
    time.sleep(0.2)
capture.terminate()
capture.wait()
if len({json.dumps(p) for _, p in moments}) != len(moments):
    problem("the moments do not differ: the test shows nothing")
for stamp, wanted in moments:
    must("restore", "--to-time", f"{stamp.time}:{stamp.inc}", "--yes", "--quiet", "--no-safety-backup", "--writers-stopped")
    now = picture()
    if now != wanted:
        problem(f"{stamp.time}:{stamp.inc}: {now} instead of {wanted}")

left = [n for n in db.list_collection_names() if n.startswith("martlet.")]
left += [n for n in os.listdir(work) if n.startswith("martlet-replay.")]
must("backup", "run", "--kind", "database", "--quiet")
for root, _, files in os.walk(work + "/store"):
    inside = os.path.relpath(root, work + "/store")
    if inside[:2] == "20" and "manifest.json" not in files and os.path.basename(root) != "commands":
        left.append(inside)
if left:
    problem("left behind: " + " ".join(left))
if problems:
    print(f"{len(problems)} problems with seed {seed}")
    sys.exit(1)
written = sum(len(w.acknowledged) for w in writers)
print(f"{kills} kills ({swapping} of them after the first swap had begun), {written} acknowledged writes: nothing lost, nothing half")
