#!/usr/bin/env bash
# Kills martlet at random moments of backup, prune, capture and restore, and looks whether anything is
# lost or half. torture.sh [ROUNDS [SEED]]
set -euo pipefail
# shellcheck source=operations.sh source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/operations.sh"

rounds=${1:-20}
seed=${2:-$RANDOM}
uri=${MARTLET_TEST_URI:?the URI of a replica set that may be written to}
RANDOM=$seed
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${PYTHON:-$here/../.tools/venv/bin/python}
database=torture_$$
export MARTLET_URI=$uri MARTLET_DB=$database BACKUP_DIR=$work/store
cd "$work"
printf 'backup: { keep: { last: 3 } }\n' >martlet.yaml
printf 'seed %s, %s rounds\n' "$seed" "$rounds" >&2

# count: documents of the two collections, whose contents are fixed.
count() {
  "$python" - "$uri" "$database" <<'P'
import sys, pymongo
d = pymongo.MongoClient(sys.argv[1])[sys.argv[2]]
print(d.a.count_documents({"n": {"$gte": 0}}), d.b.count_documents({}), len(list(d.a.list_indexes())))
P
}

"$python" - "$uri" "$database" <<'P'
import sys, pymongo
d = pymongo.MongoClient(sys.argv[1])[sys.argv[2]]
d.a.insert_many([{"_id": i, "n": i, "s": "x" * 200} for i in range(20000)])
d.a.create_index("n")
d.b.insert_many([{"_id": i} for i in range(3000)])
P
wanted=$(count)
"$program" backup run --kind database --quiet >/dev/null
failed=0
for ((round = 1; round <= rounds; round++)); do
  case $((RANDOM % 4)) in
    0) words=(backup run --kind database) ;;
    1) words=(backup prune) ;;
    2) words=(oplog run --slice 1s) ;;
    *) words=(restore --latest --yes) ;;
  esac
  "$program" "${words[@]}" --quiet >/dev/null 2>&1 &
  pid=$!
  sleep "0.$(printf '%03d' $((RANDOM % 900)))"
  kill -KILL "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  if ! "$program" backup verify --depth documents --quiet >"$work/out" 2>&1; then
    printf 'round %s (%s): a backup is damaged\n' "$round" "${words[*]}" >&2
    cat "$work/out" >&2
    failed=1
  fi
  if [[ ${words[0]} == restore ]]; then
    "$program" restore --latest --yes --quiet >"$work/out" 2>&1 || {
      printf 'round %s: the restore after the kill failed\n' "$round" >&2
      cat "$work/out" >&2
      failed=1
    }
  fi
  now=$(count)
  if [[ $now != "$wanted" ]]; then
    printf 'round %s (%s): %s instead of %s\n' "$round" "${words[*]}" "$now" "$wanted" >&2
    failed=1
  fi
done
left=$("$python" -c "
import sys, pymongo
d = pymongo.MongoClient(sys.argv[1])[sys.argv[2]]
print(' '.join(n for n in d.list_collection_names() if n.startswith('martlet.')))" "$uri" "$database")
"$python" -c "import sys, pymongo; pymongo.MongoClient(sys.argv[1]).drop_database(sys.argv[2])" "$uri" "$database"
if [[ -n $left ]]; then
  printf 'left behind: %s\n' "$left" >&2
fi
[[ $failed == 0 ]] || exit 1
printf '%s kills, nothing lost, nothing half\n' "$rounds" >&2
