#!/usr/bin/env bash
# coverage.sh [DIRECTORY...]: runs all tests with counters in the code, then prints the line coverage of each
# directory under src/, and of each file of the DIRECTORYs (src/sip, say) with the lines that no test reaches.
# Takes the compiler's own llvm tools, which rustup fetches where they are missing. Everything is kept under
# target/coverage; SIP_CORPORA names the folder of public messages.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$(rustc --print sysroot)/lib/rustlib/$(rustc --print host-tuple)/bin
[ -x "$tools/llvm-cov" ] || rustup component add llvm-tools
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/coverage
export RUSTFLAGS="-C instrument-coverage"
profiles=$CARGO_TARGET_DIR/profiles
export LLVM_PROFILE_FILE=$profiles/%4m.profraw
rm -rf "$profiles"
status=0
cargo test --quiet --tests --no-fail-fast >"$CARGO_TARGET_DIR.log" 2>&1 || status=$?
[ $status -eq 0 ] || echo "some tests failed: see $CARGO_TARGET_DIR.log" >&2
"$tools/llvm-profdata" merge -sparse "$profiles"/*.profraw -o "$profiles/all.profdata"
programs=()
while read -r program; do programs+=(-object "$program"); done < <(
    cargo test --quiet --tests --no-run --message-format=json 2>/dev/null |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p'
)
# The first program stands without its option.
"$tools/llvm-cov" export -format=lcov -skip-functions -instr-profile="$profiles/all.profdata" \
    "${programs[@]:1}" "$PWD/src" >"$profiles/all.lcov" 2>"$CARGO_TARGET_DIR.llvm-cov.log"
# Of each file: its path, how many lines hold code, how many were reached, and the numbers of the others.
awk -F'[:,]' -v root="$PWD/" '
    /^SF:/ { file = substr($0, 4); sub(root, "", file); lines = reached = 0; missed = "" }
    /^DA:/ { lines++; if ($3 > 0) reached++; else missed = missed " " $2 }
    /^end_of_record/ { print file "\t" lines "\t" reached "\t" missed }
' "$profiles/all.lcov" >"$profiles/files.tsv"
awk -F'\t' '
    { directory = $1; sub("/[^/]*$", "", directory); lines[directory] += $2; reached[directory] += $3 }
    END { for (name in lines) printf "%-18s %6.2f %% of %5d lines\n", name, 100 * reached[name] / lines[name], lines[name] }
' "$profiles/files.tsv" | sort
for directory in "$@"; do
    echo
    grep "^$directory/" "$profiles/files.tsv" | sort |
        awk -F'\t' '{ printf "%-34s %6.2f %% of %4d lines; missed:%s\n", $1, 100 * $3 / $2, $2, $4 == "" ? " none" : $4 }'
done
exit $status
