#!/bin/sh
# Runs test programs, TEST_JOBS at a time (default: one for each processor), shows the failed tests, and prints
# "N passed, N failed" at the end. The programs are independent: each has a temporary folder below /tmp.

# One program: its log and its result go to files named after $1.
if [ "$1" = --one ]; then
    out=$2
    program=$3
    start=$(date +%s)
    CMOCKA_MESSAGE_OUTPUT=STDOUT "$program" >"$out.log" 2>&1
    status=$?
    times >"$out.times" # of this shell; of its children
    cpu=$(tail -n 1 "$out.times" | awk -F '[ ms]+' '{ printf "%.0f", 60 * ($1 + $3) + $2 + $4 }')
    echo "$status $(($(date +%s) - start)) $cpu" >"$out.part"
    mv "$out.part" "$out.result"
    exit 0
fi

jobs=${TEST_JOBS:-$(nproc 2>/dev/null || echo 1)}
passed=0
failed=0
logs=$(mktemp -d)
runner=
trap '[ -z "$runner" ] || kill "$runner" 2>/dev/null; rm -rf "$logs"' EXIT
trap 'exit 130' INT TERM
number=0
for program; do
    number=$((number + 1))
    printf '%s\n%s\n' "$logs/$number" "$program"
done | xargs -n 2 -P "$jobs" "$0" --one &
runner=$!

number=0
for program; do
    number=$((number + 1))
    while [ ! -e "$logs/$number.result" ]; do
        kill -0 "$runner" 2>/dev/null || [ -e "$logs/$number.result" ] || exit 1 # xargs was ended
        sleep 0.1
    done
    read -r status seconds cpu <"$logs/$number.result"
    log=$logs/$number.log
    ok=$(grep -c '^\[       OK \]' "$log")
    # cmocka names a failed test twice: where it fails and in the summary.
    bad=$(grep '^\[  FAILED  \] [^0-9]' "$log" | sort -u | wc -l)
    if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
        bad=1 # it crashed, or a sanitizer reported an error
    fi
    printf '%-56s %3d passed %3d failed  %3d s, %3d s of CPU\n' "$program" "$ok" "$bad" "$seconds" "$cpu"
    if [ "$bad" -ne 0 ]; then
        grep -v '^\[       OK \]\|^\[ RUN ' "$log" | tail -n 60
    fi
    passed=$((passed + ok))
    failed=$((failed + bad))
done
runner=
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
