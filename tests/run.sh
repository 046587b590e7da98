#!/usr/bin/env bash
# Every check of the project, on a fresh Debian machine with a Rust toolchain, cc and git. Ends with a summary;
# the exit code is 0 only when nothing failed. Reads nothing, and runs from any directory.
set -uo pipefail
exec </dev/null
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
[ -d "$HOME/.cargo/bin" ] && PATH="$HOME/.cargo/bin:$PATH"

# glommio locks this much memory for each executor's rings.
memlock_kib=512
# A test that hangs must not hold a machine for ever.
tests_timeout=45m

# Worlds of the simulator that nobody has played before, for so long.
sim_seconds=60
sim_peers=all

log=$(mktemp)
trap 'rm -f "$log"' EXIT
summary=()
failures=0

note() { summary+=("$(printf '%-8s %s' "$1" "$2")"); }

# step NAME COMMAND…: runs it, keeps its output in $log, notes how it ended.
step() {
    local name=$1 begin=$SECONDS
    shift
    printf '\n== %s: %s\n' "$name" "$*"
    if "$@" 2>&1 | tee "$log"; then
        note ok "$name ($((SECONDS - begin)) s)"
    else
        note FAILED "$name ($((SECONDS - begin)) s): $*"
        failures=$((failures + 1))
    fi
}

# need WHAT CURE COMMAND…: something that the run cannot do without.
need() {
    local what=$1 cure=$2
    shift 2
    if ! "$@" >/dev/null 2>&1; then
        printf 'missing: %s; %s\n' "$what" "$cure" >&2
        failures=$((failures + 1))
    fi
}

check_tools() {
    local rustup="install Rust from https://rustup.rs"
    need git "apt-get install git" git --version
    need "a C compiler" "apt-get install build-essential" cc --version
    need cargo "$rustup" cargo --version
    need rustfmt "rustup component add rustfmt" cargo fmt --version
    need clippy "rustup component add clippy" cargo clippy --version
    if [ "$failures" -gt 0 ]; then
        exit 1
    fi
}

# install COMMAND PACKAGE WHAT: what some tests need; they are skipped by name without it.
install() {
    local command=$1 package=$2 what=$3 as_root=()
    command -v "$command" >/dev/null && return
    if [ "$(id -u)" -ne 0 ]; then
        if ! sudo -n true 2>/dev/null; then
            note skipped "$what: neither root nor sudo; run: apt-get install $package"
            return
        fi
        as_root=(sudo -n)
    fi
    printf '\n== installing %s\n' "$package"
    "${as_root[@]}" apt-get update -q >"$log" 2>&1
    if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "$package" >>"$log" 2>&1; then
        tail -n 5 "$log"
        note skipped "$what: apt-get install $package failed"
    fi
}

check_memlock() {
    local limit
    limit=$(ulimit -l)
    if [ "$limit" != unlimited ] && [ "$limit" -lt "$memlock_kib" ]; then
        # The soft limit may be raised as far as the hard one.
        ulimit -S -l "$(ulimit -H -l)" && limit=$(ulimit -l)
    fi
    if [ "$limit" != unlimited ] && [ "$limit" -lt "$memlock_kib" ]; then
        note FAILED "RLIMIT_MEMLOCK is $limit KiB; io_uring needs $memlock_kib: ulimit -l $memlock_kib as root, \
'* - memlock $memlock_kib' in /etc/security/limits.conf, or docker run --ulimit memlock=-1"
        failures=$((failures + 1))
    fi
}

note_skipped() {
    local skipped
    while read -r skipped; do
        note skipped "$skipped"
    done < <(sed -n 's/^.*SKIPPED //p' "$log")
}

note_tests() {
    local counts failed
    counts=$(awk '/^test result:/ { passed += $4; failed += $6; ignored += $8; programs++ }
        END { printf "%d passed, %d failed, %d ignored, in %d programs", passed, failed, ignored, programs }' "$log")
    note tests "$counts"
    note_skipped
    while read -r failed; do
        note FAILED "test $failed"
    done < <(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log")
}

check_tools
install sipp sip-tester "SIPp scenarios"
install redis-server redis-server "stores on a Redis server"
install rtpengine rtpengine-daemon "media by an rtpengine"
install baresip baresip-core "two real clients"
install ip iproute2 "two real clients"
python3 -c "import ensurepip, venv" 2>/dev/null || install python3-venv python3-venv "two real clients"
check_memlock
step "format" cargo fmt --all --check
step "lints" cargo clippy --workspace --all-targets --locked -- -D warnings
step "core without the shell" cargo check --lib --no-default-features --locked
step "fuzz targets" cargo check --manifest-path tests/fuzz/Cargo.toml --locked
step "tests" timeout "$tests_timeout" cargo test --workspace --locked --no-fail-fast
note_tests
# The tests have built the binary. pjsua2 comes from PyPI, into a virtual environment under target/.
step "two real clients" python3 tests/clients/run.py
note_skipped
# The fixed seeds are among the tests. A failure names its seed, and so does a success.
sim_seed=$(((RANDOM << 30) + (RANDOM << 15) + RANDOM))
step "simulator, fresh seeds" timeout "$tests_timeout" \
    cargo run --release --locked --bin sim -- --seconds "$sim_seconds" --seed "$sim_seed" \
    --peers "$sim_peers"
note simulator "$(grep -m 1 -E 'calls in|play it again' "$log")"

printf '\n== summary\n'
printf '%s\n' "${summary[@]}"
if [ "$failures" -gt 0 ]; then
    printf 'FAILED: %d of the checks above\n' "$failures"
    exit 1
fi
printf 'all checks passed\n'
