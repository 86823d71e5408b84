#!/bin/sh
# Usage: rooms.sh BUILD OBJECTS. Checks the direction of dependencies (rooms.txt); that operations, layers and
# optimization methods use only public functions and headers, and those of the same folder (public_only.txt); and that
# there are no cycles of dependencies between files (cycles.awk).
cd "$(dirname "$0")/.." || exit 1
build=$1
shift
symbols=$build/symbols.txt
private=$(sed '/^#/d; /^$/d' .lint/public_only.txt | while read -r folder; do
    grep -Hn '^#include "' "$folder"/*.[ch] 2>/dev/null | grep -v "#include \"$folder/" | sed 's/$/: public headers only, as <swale\/NAME.h>/'
done)
[ -z "$private" ] || echo "$private"
nm "$@" | awk -v folder="$build/" '
    NF == 1 { file = substr($1, length(folder) + 1, length($1) - length(folder) - 1) }
    NF == 3 { print file, "D", $3 }
    NF == 2 && $1 == "U" { print file, "U", $2 }' >"$symbols"
bad=0
awk '
    FILENAME ~ /rooms.txt/ { if (!/^#/ && NF) { level++; for (i = 1; i <= NF; i++) rank[$i] = level; } next }
    FILENAME ~ /public_only.txt/ { if (!/^#/ && NF) strict[++folders] = $1; next }
    function room(file,    r, best) {
        for (r in rank)
            if (index(file, r "/") == 1 && length(r) > length(best))
                best = r
        return best
    }
    $2 == "D" { home[$3] = $1 }
    $2 == "U" { uses[++n] = $1 " " $3 }
    END {
        for (i = 1; i <= n; i++) {
            split(uses[i], u, " ")
            target = home[u[2]]
            if (target == "" || target == u[1])
                continue
            from = room(u[1]); to = room(target)
            if (from != to && rank[to] >= rank[from]) {
                printf "%s uses %s of %s: %s is not below %s\n", u[1], u[2], target, to, from
                bad = 1
            }
            for (k = 1; k <= folders; k++)
                if (index(u[1], strict[k] "/") == 1 && index(target, strict[k] "/") != 1 && u[2] !~ /^sw_/) {
                    printf "%s uses %s of %s, which is not public\n", u[1], u[2], target
                    bad = 1
                }
        }
        exit bad
    }' .lint/rooms.txt .lint/public_only.txt "$symbols" || bad=1
awk -f .lint/cycles.awk "$symbols" || bad=1
[ -z "$private" ] && exit $bad
