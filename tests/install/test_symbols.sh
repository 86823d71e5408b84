#!/bin/sh
# Checks the names that the libraries define. The shared library exports exactly the names in symbols.txt, which are
# those that the headers declare. The archive defines no names that a user could also define. `make symbols` runs this
# script with --write, which writes symbols.txt anew: check the difference before you commit it.
cd "$(dirname "$0")/../.." || exit 1
build=${TEST_BUILD:-build}
list=tests/install/symbols.txt
exported=$(mktemp) && declared=$(mktemp) && log=$(mktemp) || exit 1
trap 'rm -f "$exported" "$declared" "$log"' EXIT
LC_ALL=C
export LC_ALL
nm -D --defined-only "$build/libswale.so" | awk '{ print $NF }' | sort >"$exported"
[ -s "$exported" ] || exit 1

if [ "$1" = --write ]; then
    cp "$exported" $list
    exit
fi

test_list() {
    diff $list "$exported" && return
    echo "(< $list, > libswale.so; if it is meant: make symbols)"
    return 1
}
# Functions, and constants: SW_API extern const TYPE NAME, NAME;
test_headers() {
    xargs cat <.lint/public_headers.txt | sed '/^#/d' | tr '\n' ' ' |
        sed 's|/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/||g' | grep -o 'SW_API [^;]*;' |
        sed 's/;$//; /^SW_API extern const /!s/ *(.*//; s/^SW_API extern const  *[a-z_]* //' |
        tr ',' '\n' | sed 's/ *$//; s/.*[ *]//' | sort >"$declared"
    diff "$declared" "$exported" && return
    echo "(< declared with SW_API, > exported by libswale.so)"
    return 1
}
# swi_, swn_, swo_ and swd_ are those of folders, for their own files.
test_archive() {
    [ -s "$build/libswale.a" ] || return
    ! nm -g --defined-only "$build/libswale.a" | awk 'NF == 3 { print $3 }' | grep -v '^sw[inod]\{0,1\}_'
}

for name in list headers archive; do
    if "test_$name" >"$log"; then
        echo "[       OK ] symbols_$name"
    else
        cat "$log"
        echo "[  FAILED  ] symbols_$name"
        failed=yes
    fi
done
[ -z "$failed" ]
