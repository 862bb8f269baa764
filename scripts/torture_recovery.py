"""Restores to random moments under load and compares each exactly: the bank test.

torture_recovery.py URI MARTLET [MOMENTS [SEED]]

Four writers move money in transactions, and create, rename and drop beside it. At random moments all
accounts are read in a snapshot, with its cluster time. Afterwards each moment is restored and compared;
a restore to another moment must differ (the negative control).
"""
import atexit
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

import pymongo

uri, martlet = sys.argv[1], sys.argv[2]
moments = int(sys.argv[3]) if len(sys.argv) > 3 else 10
seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.randrange(1 << 30)
print(f"seed {seed}, {moments} moments", flush=True)
choose = random.Random(seed)
name = f"bank_{os.getpid()}"
work = tempfile.mkdtemp()
environment = dict(os.environ, MARTLET_URI=uri, MARTLET_DB=name, BACKUP_DIR=work + "/store")
client = pymongo.MongoClient(uri)
db = client[name]
accounts = 50
db.accounts.insert_many([{"_id": i, "balance": 1000, "moves": []} for i in range(accounts)])
db.accounts.create_index("balance")


def run(*words, check=True):
    done = subprocess.run([martlet, *words], env=environment, cwd=work, capture_output=True, text=True)
    if check and done.returncode:
        sys.exit(f"martlet {' '.join(words)}: {done.returncode}\n{done.stderr}")
    return done


stop = threading.Event()
children = []
writers = []


def clean():
    """However it ends, also by SIGTERM: nothing goes on, and nothing stays."""
    stop.set()
    for thread in writers:
        if thread.is_alive():
            thread.join(30)
    for child in children:
        if child.poll() is None:
            child.kill()
            child.wait()
    client.drop_database(name)
    client.martlet_restore.journal.delete_many({"databases": name})
    shutil.rmtree(work, ignore_errors=True)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
atexit.register(clean)


def writer(number):
    pick = random.Random(seed + number)
    own = pymongo.MongoClient(uri)
    bank = own[name]
    count = 0
    while not stop.is_set():
        a, b = pick.sample(range(accounts), 2)
        amount = pick.randrange(1, 20)
        try:
            with own.start_session() as session, session.start_transaction():
                move = {"to": b, "n": count}
                bank.accounts.update_one({"_id": a}, {"$inc": {"balance": -amount}, "$push": {"moves": {"$each": [move], "$slice": -5}}}, session=session)
                bank.accounts.update_one({"_id": b}, {"$inc": {"balance": amount}}, session=session)
                bank.log.insert_one({"_id": f"{number}-{count}", "amount": amount}, session=session)
        except pymongo.errors.PyMongoError as error:
            if not error.has_error_label("TransientTransactionError"):
                raise
        count += 1
        if number == 0 and count % 40 == 0:
            bank[f"side{count}"].insert_one({"_id": 1})
            bank[f"side{count}"].rename("side", dropTarget=True)
        if number == 1 and count % 60 == 0:
            bank.accounts.create_index([("moves.n", 1)], name="moves")
            bank.accounts.drop_index("moves")


def picture():
    """All accounts and the log's size at one moment, with that moment."""
    with client.start_session(snapshot=True) as session:
        rows = sorted(str(d) for d in db.accounts.find(session=session))
        logs = sorted(d["_id"] for d in db.log.find(session=session))
        side = [str(d) for d in db.side.find(session=session)]
        stamp = session._transaction_id if False else session._snapshot_time
    return stamp, (rows, logs, side)


db.log.insert_one({"_id": "first"})
db.side.insert_one({"_id": 0})
writers.extend(threading.Thread(target=writer, args=(n,), daemon=True) for n in range(4))
for thread in writers:
    thread.start()
time.sleep(0.5)
run("backup", "run", "--kind", "database", "--quiet")
capture = subprocess.Popen([martlet, "oplog", "run", "--slice", "1s", "--quiet"], env=environment, cwd=work)
children.append(capture)
pictures = []
for _ in range(moments):
    time.sleep(choose.uniform(0.1, 1.2))
    try:
        pictures.append(picture())
    except pymongo.errors.OperationFailure as error:
        print("no picture:", error.code, flush=True)
stop.set()
for thread in writers:
    thread.join()
# A write after the last picture: once it is in a slice everything before it is. That may take a while on a
# machine that does other things too.
db.log.insert_one({"_id": "last"})
target = client.admin.command("hello")["lastWrite"]["opTime"]["ts"]
deadline = time.monotonic() + 600
while time.monotonic() < deadline:
    windows = json.loads(run("oplog", "status", "--offline", "--json").stdout)["windows"]
    ends = [tuple(map(int, w["endTimestamp"].split(":"))) for w in windows]
    if capture.poll() is not None or any(end >= (target.time, target.inc) for end in ends):
        break
    time.sleep(0.2)
capture.terminate()
print("capture ended with", capture.wait(), flush=True)

wrong = 0
for stamp, wanted in choose.sample(pictures, len(pictures)):
    done = run("restore", "--to-time", f"{stamp.time}:{stamp.inc}", "--yes", "--quiet", "--no-safety-backup", "--writers-stopped")
    found = (sorted(str(d) for d in db.accounts.find()), sorted(d["_id"] for d in db.log.find()), [str(d) for d in db.side.find()])
    total = sum(d["balance"] for d in db.accounts.find())
    same = [i for i, (_, other) in enumerate(pictures) if other == found]
    good = found == wanted and total == accounts * 1000
    print(stamp, "exact" if good else "WRONG", f"total {total}, {len(found[1])} moves, looks like {len(same)}", flush=True)
    if not good:
        wrong += 1
        for label, a, b in zip(("accounts", "log", "side"), wanted, found):
            if a != b:
                print(" ", label, "differ:", len(a), len(b), flush=True)
left = [n for n in db.list_collection_names() if n.startswith("martlet.")]
if left:
    print("left behind:", left)
    wrong += 1
distinct = len({str(p) for _, p in pictures})
print(f"{len(pictures) - wrong} of {len(pictures)} exact, {distinct} different moments")
sys.exit(1 if wrong or distinct < 2 else 0)
