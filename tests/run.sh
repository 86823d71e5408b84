#!/bin/sh
# Runs test programs one after the other, shows what failed, and ends with "N passed, N failed".
passed=0
failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for program; do
    start=$(date +%s)
    CMOCKA_MESSAGE_OUTPUT=STDOUT "$program" >"$log" 2>&1
    status=$?
    ok=$(grep -c '^\[       OK \]' "$log")
    bad=$(grep -c '^\[  FAILED  \] [^0-9]' "$log")
    # cmocka names a failed test twice: where it fails and in the summary.
    bad=$(grep '^\[  FAILED  \] [^0-9]' "$log" | sort -u | wc -l)
    if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
        bad=1 # it crashed, or a sanitizer spoke
    fi
    printf '%-44s %4d passed %3d failed  %3d s\n' "$program" "$ok" "$bad" $(($(date +%s) - start))
    if [ "$bad" -ne 0 ]; then
        grep -v '^\[       OK \]\|^\[ RUN ' "$log" | tail -n 60
    fi
    passed=$((passed + ok))
    failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
