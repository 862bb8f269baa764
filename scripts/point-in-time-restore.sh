#!/usr/bin/env bash
# point-in-time-restore.sh "YYYY-MM-DD HH:MM:SS" [OPTIONS of martlet restore]: local time, inclusive.
set -euo pipefail
# shellcheck source=operations.sh source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/operations.sh"

time=${1:?restore time required (format: YYYY-MM-DD HH:MM:SS)}
shift
run restore --to-time "$time" --yes "$@"
