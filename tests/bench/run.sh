#!/bin/sh
# Runs benchmarks one after the other, and counts their "ok" and "short" lines.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
for program; do
    "$program" || status=1
done | tee "$log"
echo "$(grep -c ' ok$' "$log") ok, $(grep -c ' short$' "$log") short, $(grep -c ' reported$' "$log") reported only"
