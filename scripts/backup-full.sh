#!/usr/bin/env bash
# The weekly full backup: kept longer by its tag, and every document of it is read back.
set -euo pipefail
# shellcheck source=operations.sh source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/operations.sh"

run backup run --kind full --tag weekly --verify documents "$@"
copy_to_s3
