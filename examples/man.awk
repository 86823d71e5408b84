# Writes the manual page of an example from the first comment of its source and from its --help:
#     awk -f man.awk -v program=NAME -v version=0.2.0 NAME.c HELP
# HELP: "example: COMMAND", a table of options, sentences; blank lines between them.

function text(line) { # escapes a line for roff: it contains no command, and minus signs can be copied
    gsub(/\\/, "\\e", line)
    gsub(/-/, "\\-", line)
    gsub(/"/, "\\(dq", line)
    gsub(/'/, "\\(aq", line)
    sub(/^\./, "\\\\\\&.", line)
    return line
}

FNR == NR { # the source
    if (described)
        next
    line = $0
    sub(/^\/\* */, "", line)
    sub(/^ \* */, "", line)
    described = sub(/ *\*\/.*/, "", line)
    about = about (about ? " " : "") line
    next
}

FNR == 1 {
    brief = about
    sub(/\. .*|\.$/, "", brief)
    printf ".TH \"%s\" 1 \"\" \"swale %s\" \"User Commands\"\n", text(toupper(program)), version
    printf ".SH NAME\n%s \\- %s\n", text(program), text(tolower(substr(brief, 1, 1)) substr(brief, 2))
    printf ".SH SYNOPSIS\n.B %s\n[\\fIoption\\fR ...]\n", text(program)
    printf ".SH DESCRIPTION\n%s\n", text(about)
}

sub(/^example: /, "") { example = $0; next }

/^  -/ {
    if (!options++)
        print ".SH OPTIONS"
    name = $1
    argument = $2
    help = $0
    # The help begins in the column after the widest name and argument, two words at most.
    if (match(help, /^  [^ ]+ ([^ ]+ )? +/) || match(help, /^  [^ ]+ [^ ]+ /))
        help = substr(help, RLENGTH + 1)
    argument = substr($0, 1, length($0) - length(help))
    sub(/^ *[^ ]+ */, "", argument)
    sub(/ *$/, "", argument)
    printf ".TP\n\\fB%s\\fR", text(name)
    if (argument != "")
        printf " \\fI%s\\fR", text(argument)
    printf "\n%s\n", text(help)
    next
}

/[^ ]/ { notes = notes (notes ? "\n" : "") text($0) }

END {
    if (!options) {
        print "man.awk: no options in the help of " program > "/dev/stderr"
        exit 1
    }
    if (notes)
        printf ".SH OUTPUT\n%s\n", notes
    print ".SH ENVIRONMENT"
    print ".TP\n.B SW_THREADS\nnumber of threads, 1 to 64, unless an option sets it"
    print ".TP\n.B SW_CPU\nbaseline, avx2, avx512, avx512bf16 or amx: the highest instruction set to use"
    print ".TP\n.B SW_BF16_PRODUCTS\npairs or tiles: the order of additions in products of bf16, which otherwise depends on the processor"
    print ".TP\n.B NO_COLOR\nif set and not empty, no colors"
    print ".TP\n.B SWALE_FONT\nfont of the text in pictures: strokes, or the path of a TrueType font"
    print ".SH EXIT STATUS"
    print "0 after success; 1 after an error; 2 after a mistake on the command line; 128 and the signal's"
    print "number if a signal ended the run."
    if (example != "")
        printf ".SH EXAMPLE\n.EX\n%s\n.EE\n", text(example)
}
