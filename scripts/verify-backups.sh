#!/usr/bin/env bash
# Reads all backups; 20 when one is damaged. With an argument: manifest, checksums or documents.
set -euo pipefail
# shellcheck source=runbook.sh source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/runbook.sh"

run backup verify --depth "${1:-documents}"
