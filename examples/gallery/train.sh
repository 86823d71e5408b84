#!/bin/sh
# Runs a program with long training for the gallery:
#
#     train.sh EXAMPLES FOLDER NAME [OPTION...]     train.sh build/examples build/gallery-train sharpness
#
# EXAMPLES/NAME writes FOLDER/NAME.png and FOLDER/NAME.csv. The line of the program in FOLDER/runs.csv, which is at first a
# copy of examples/gallery/runs.csv, gets the date, the seconds of processor time (which other programs on the machine change
# less than the elapsed time), the threads and the machine.
set -e
programs=$1 folder=$2 name=$3
shift 3
mkdir -p "$folder"
runs=$folder/runs.csv
[ -e "$runs" ] || cp "$(dirname "$0")/runs.csv" "$runs"

"$programs/$name" "$@" --out "$folder/$name.png" || exit

# The second line of `times` has the user and system time of the child processes: 1m2.5s 0m0.3s.
times >"$folder/times"
seconds=$(tail -n 1 "$folder/times" | awk -F '[ ms]+' '{ print 60 * ($1 + $3) + $2 + $4 }')
rm "$folder/times"
machine=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo 2>/dev/null | head -n 1)
{
    head -n 1 "$runs"
    {
        tail -n +2 "$runs" | grep -v "^$name," || :
        awk -v name="$name" -v options="$*" -v date="$(date +%F)" -v seconds="$seconds" \
            -v threads="${SW_THREADS:-$(nproc 2>/dev/null || echo 1)}" \
            -v machine="${machine:-$(uname -m)}" \
            'BEGIN { printf "%s,\"%s\",%s,%.1f,%d,\"%s\"\n", name, options, date, seconds, threads, machine }'
    } | sort
} >"$runs.new"
mv "$runs.new" "$runs"
