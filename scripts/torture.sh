#!/usr/bin/env bash
# Kills martlet at random moments of backup, prune, capture and restore, and looks whether anything is
# lost or half. torture.sh [ROUNDS [SEED]]
set -euo pipefail
# shellcheck source=operations.sh source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/operations.sh"

uri=${MARTLET_TEST_URI:?the URI of a replica set that may be written to}
python=${PYTHON:-$here/../.tools/venv/bin/python}
exec "$python" "$here/torture_kills.py" "$uri" "$(realpath "$program")" "${1:-20}" "${2:-$RANDOM}"
