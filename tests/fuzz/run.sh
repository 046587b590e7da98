#!/usr/bin/env bash
# run.sh [SECONDS [TARGET...]]: builds the fuzz targets and runs each for SECONDS (60), all of them by
# default. Corpora that grow and inputs that fail are kept under target/fuzz/. Fails if a target did.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}
shift || true
target_dir=${CARGO_TARGET_DIR:-$PWD/../../target/fuzz}
export SIP_CORPORA=${SIP_CORPORA:-$PWD/../../../shared/corpora}
cargo build --release --quiet
host=$(rustc --print host-tuple)
bin=$target_dir/$host/release
[ $# -gt 0 ] || set -- $(cd targets && printf '%s\n' *.rs | sed 's/\.rs$//')
failed=()
for target in "$@"; do
    corpus=$target_dir/corpus/$target
    found=$target_dir/found/$target
    mkdir -p "$corpus" "$found"
    unset RINGWAY_SEEDS
    [ -n "$(ls -A "$corpus")" ] || export RINGWAY_SEEDS=$corpus
    log=$target_dir/found/$target.log
    # What was compared tells little of a state machine, and keeping track of it costs most of the time.
    case $target in
        shard* | transaction | register) options=(-max_len=2048 -use_value_profile=0) ;;
        *) options=(-max_len=1024 -use_value_profile=1) ;;
    esac
    status=0
    "$bin/$target" "$corpus" -artifact_prefix="$found/" -max_total_time="$seconds" "${options[@]}" \
        -timeout=120 -rss_limit_mb=2048 -print_final_stats=1 >"$log" 2>&1 || status=$?
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "$target: ${executions:-?} executions, $(ls "$corpus" | wc -l) inputs kept, exit $status"
    [ $status -eq 0 ] || failed+=("$target")
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}; see $target_dir/found" >&2
    exit 1
fi
