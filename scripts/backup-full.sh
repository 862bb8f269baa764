#!/usr/bin/env bash
# The weekly full backup: kept longer by its tag, and every document of it is read back.
set -euo pipefail
# shellcheck source=runbook.sh source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/runbook.sh"

run backup run --kind full --tag weekly --verify documents "$@"
copy_to_s3
