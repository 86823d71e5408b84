#!/bin/sh
# Checks the names that the libraries define. The shared library exports exactly the names in symbols.txt, which are
# those that the headers declare. The archive defines no names that a user could also define. Messages begin with names
# that are public. `make symbols` runs this script with --write, which writes symbols.txt anew: check the difference
# before you commit it.
cd "$(dirname "$0")/../.." || exit 1
build=${TEST_BUILD:-build}
list=tests/install/symbols.txt
exported=$(mktemp) && declared=$(mktemp) && log=$(mktemp) || exit 1
trap 'rm -f "$exported" "$declared" "$log" "$log".*' EXIT
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

# The first word of a message is a public name without its prefix sw_ or sw_nn_, a registered method or layer, or one of
# these subjects. In messages that sw_fail does not get directly, only names of several words can be recognized.
subjects='archive csr curve description direction estimator glm gradient images landscape loader loss_scale norms
objective optimizer option parameters picture product register rule sampler schedule shards svmlight target tokenizer'
test_messages() {
    find core nn optim datasets -name '*.c' -exec cat {} + | tr '\n' ' ' >"$declared"
    grep -oE '"[a-z][a-z0-9]*(_[a-z0-9]+)+: |sw_fail[a-z_]*\( *SW_ERR_[A-Z]+, *"[a-z][a-z0-9]*: ' "$declared" |
        sed 's/.*"//; s/: $//' | sort -u >"$log.first"
    { grep -oE '\.name *= *"[a-z0-9_]+"' "$declared" | sed 's/"$//; s/.*"//'
      xargs cat <.lint/public_headers.txt | grep -ohE '\bsw_[a-z0-9_]+' | sed 's/^sw_//; p; s/^nn_//'
      echo $subjects | tr ' ' '\n'; } | sort -u >"$log.known"
    comm -23 "$log.first" "$log.known" | sed 's/.*/a message begins with "&: ", which is not a public name/' >"$log.found"
    cat "$log.found"
    [ -s "$log.first" ] && [ ! -s "$log.found" ]
}

for name in list headers archive messages; do
    if "test_$name" >"$log"; then
        echo "[       OK ] symbols_$name"
    else
        cat "$log"
        echo "[  FAILED  ] symbols_$name"
        failed=yes
    fi
done
[ -z "$failed" ]
