#!/usr/bin/env bash
# The weekly full backup: every document of it is read back. How long it is kept says backup.keep.weekly.
set -euo pipefail
# shellcheck source=operations.sh source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/operations.sh"

back_up --kind full --tag weekly --verify documents "$@"
