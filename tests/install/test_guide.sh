#!/bin/sh
# Checks that every file and every function that .github/CONTRIBUTING.md names exists.
cd "$(dirname "$0")/../.." || exit 1
guide=.github/CONTRIBUTING.md
failed=0
say() {
    echo "$guide: $1"
    failed=1
}
for name in $(grep -o '`[^`]*`' "$guide" | tr -d '`' | tr ' ,()' '\n\n\n\n' | sort -u); do
    case $name in
    *NAME* | *FAMILY* | *FILE* | *_X | *_X_* | *'?' | build/* | *'<'* | *'*'* | *=*) ;;
    core/* | nn/* | optim/* | datasets/* | examples/* | tests/* | .lint/*)
        [ -e "${name%:*}" ] || say "there is no $name" ;;
    sw_[a-z0-9]*_ | sw[indo]_ | sw_k_ | SW_ | sw_) ;;
    sw[indo_]*_[a-z0-9_]* | SW_[A-Z0-9_]* | SWO_[A-Z]*)
        git grep -qw -e "$name" -- core nn optim datasets || grep -rqw -e "$name" core nn optim datasets ||
            say "there is no $name" ;;
    esac
done
# A row of the table of one step: the function is in one of the files that the row names.
grep -E '^\| [0-9]+ \| `sw_' "$guide" | while IFS='|' read -r _ number functions files _; do
    for function in $(echo "$functions" | grep -o '`sw_[^`]*`' | tr -d '`'); do
        for file in $(echo "$files" | grep -o '`[^`]*`' | tr -d '`'); do cat "$file"; done |
            grep -qE "^[a-z].*[ *]$function\\(" || echo "$guide: step $number: $function is not in $files"
    done
done >"${TMPDIR:-/tmp}/guide.$$"
[ -s "${TMPDIR:-/tmp}/guide.$$" ] && cat "${TMPDIR:-/tmp}/guide.$$" && failed=1
rm -f "${TMPDIR:-/tmp}/guide.$$"
if [ $failed = 0 ]; then echo '[       OK ] test_names_in_the_guide'; else echo '[  FAILED  ] test_names_in_the_guide'; fi
exit $failed
