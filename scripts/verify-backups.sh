#!/usr/bin/env bash
# Reads all backups; 20 when one is damaged. With an argument: manifest, checksums or documents.
set -euo pipefail
# shellcheck source=operations.sh source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/operations.sh"

run backup verify --depth "${1:-documents}"
