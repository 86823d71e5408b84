# Doxygen's input filter for the public headers: it converts plain comments to Doxygen comments. A header becomes a
# topic (a group) in the topic of its folder, which main.dox declares.
#
#     the first comment          the text of the header
#     /* ---- Title ---- */      begins a section, a topic within that of the header, which ends at the next such line
#     a comment before a declaration, or after it on the same line
#                                the text of the declaration
#     a comment before several declarations without a blank line between them
#                                the text of all of them that have no comment; those after the first refer to the first
#     any other comment          additional text of the section or of the header
#
# A function without text is an error: exit status 1. In a comment, lines "- ..." are a list, other indented lines are
# shown unchanged, and `x` is code. Code inside `#if SW_KERNEL_PASS` is always shown.

function trim(s) { gsub(/^[ \t]+|[ \t]+$/, "", s); return s }

function escape(s) {
    gsub(/[\\@<>&#%]/, "\\\\&", s)
    while (match(s, /`[^`]+`/))
        s = substr(s, 1, RSTART - 1) "<tt>" substr(s, RSTART + 1, RLENGTH - 2) "</tt>" substr(s, RSTART + RLENGTH)
    return s
}

# The text of a comment in Doxygen's format, without /* and the asterisks.
function rendered(comment,    n, i, part, row, out, verbatim, list, indented) {
    sub(/^\/\*[ \t]?/, "", comment)
    sub(/[ \t]*\*\/$/, "", comment)
    n = split(comment, part, "\n")
    for (i = 1; i <= n; i++) {
        row = part[i]
        if (i > 1 && !sub(/^[ \t]*\*[ \t]?/, "", row)) # " * text"; else aligned under code
            sub(/^[ \t]+/, "", row)
        indented = row ~ /^[ \t][ \t]/
        if (row ~ /^[ \t]*- /)
            list = 1
        else if (row ~ /^[^ \t]/ || trim(row) == "")
            list = 0
        if (indented && !list && !verbatim)
            out = out "\n@verbatim"
        if (verbatim && !(indented && !list))
            out = out "\n@endverbatim"
        verbatim = indented && !list
        out = out (i > 1 || verbatim ? "\n" : "") (verbatim ? row : escape(row))
    }
    return out (verbatim ? "\n@endverbatim" : "")
}

function topic(name) {
    name = tolower(name)
    gsub(/[^a-z0-9]+/, "_", name)
    return "topic_" header "_" name
}

# The line of a section: the title ends at the first full stop; the rest is the text of the section.
function section(comment,    title, rest) {
    comment = rendered(comment)
    gsub(/\n/, " ", comment)
    sub(/^ *-+ */, "", comment)
    sub(/ *-+ *$/, "", comment)
    title = rest = trim(comment)
    sub(/\. .*/, "", title)
    rest = title == rest ? "" : trim(substr(rest, length(title) + 2))
    close_section()
    group = topic(title)
    add_text(rest)
    return "/** @defgroup " group " " title "\n@{ */"
}

function close_section() {
    if (group)
        print "/** @} */"
    group = ""
}

# The name of the function, the type or the macro that a line declares; "" if it declares none.
function declared(line,    name) {
    if (line ~ /^#define [A-Za-z_0-9]+/ || line ~ /^typedef (struct|enum) [a-z_0-9]+ /) {
        split(line, word, /[ (]/)
        return line ~ /^#/ ? word[2] : word[3]
    }
    if (line ~ /^typedef / && match(line, /\(\*[a-z_0-9]+\)/))
        return substr(line, RSTART + 2, RLENGTH - 3)
    if (line ~ /^ *(SW_API|static inline|typedef) / && match(line, /[a-zA-Z_0-9]+\(/)) {
        name = substr(line, RSTART, RLENGTH - 1)
        if (name == "SW_K" && match(line, /SW_K\([a-z_0-9]+\)\(/))
            name = substr(line, RSTART + 5, RLENGTH - 7)
        return name
    }
    return ""
}

# Processes a line with code. A comment after the code describes it. `own`: there is a comment before the line.
function code(line, own,    name, start, end) {
    name = declared(line)
    if (name && !own && !index(line, "/*") && line !~ /^(#|typedef)/) {
        if (above)
            print "/** " (above_name ? "With @ref " above_name " \"" above_name "\": " : "") above " */"
        else {
            print FILENAME ":" at ": " name " has no comment" >"/dev/stderr"
            bare = 1
        }
    }
    if (name && !above_name)
        above_name = name
    if (trim(line) == "" || line ~ /^#(if|else|endif|undef|include)/)
        above = above_name = ""
    while (line !~ /^#(endif|else)/ && (start = index(line, "/*"))) {
        end = start + 3 + index(substr(line, start + 2), "*/")
        printf "%s/**< %s */", substr(line, 1, start - 1), rendered(substr(line, start, end - start))
        line = substr(line, end)
    }
    if (header != "kernel")
        sub(/^#if SW_KERNEL_PASS$/, "#if 1", line)
    print line
}

# Returns the line, joined with the following lines until every comment in it is closed.
function complete(joined,    rest, start) {
    for (;;) {
        rest = joined
        while ((start = index(rest, "/*")) && index(substr(rest, start), "*/"))
            rest = substr(rest, start + index(substr(rest, start), "*/") + 1)
        if (!start || at >= count)
            return joined
        joined = joined "\n" line[++at]
    }
}

# The first comment: the topic of the header.
function opened(comment) {
    comment = rendered(comment)
    add_text(comment)
    return "/** @file\n" comment " */\n/** @defgroup topic_" header " " header ".h\n@ingroup folder_" folder "\n@{ */"
}

# More text of the section, or of the header.
function add_text(comment,    name) {
    name = group ? group : "topic_" header
    if (!(name in texts))
        groups[++group_count] = name
    texts[name] = texts[name] (texts[name] && comment ? "\n\n" : "") comment
}

BEGIN {
    header = ARGV[1]
    sub(/.*\//, "", header)
    while ((getline folder <".lint/public_headers.txt") > 0 && folder !~ ("/" header "$"))
        ;
    sub(/\/[^\/]*$/, "", folder)
    gsub(/\//, "_", folder)
    sub(/\.h$/, "", header)
}

{ text = text (NR > 1 ? "\n" : "") $0 }

END {
    count = split(text, line, "\n")
    for (at = 1; at <= count; at++) {
        joined = complete(line[at])
        comment = trim(joined)
        if (comment !~ /^\/\*/ || index(comment, "*/") != length(comment) - 1)
            code(joined)
        else if (!seen++)
            print opened(comment)
        else if (comment ~ /^\/\* ----/)
            print section(comment)
        else if (at == count || trim(line[at + 1]) == "" || line[at + 1] ~ /^[ \t]*\/\*/ ||
                 line[at + 1] ~ /^#(if|else|endif|ifn?def|undef|include)/)
            add_text(rendered(comment))
        else {
            print "/** " rendered(comment) " */"
            if (joined ~ /^\/\*/) { # not within a struct
                above = rendered(comment)
                above_name = ""
            }
            at++
            code(complete(line[at]), 1)
        }
    }
    close_section()
    print "/** @} */"
    # All texts of a group together, because Doxygen would change the order of separate pieces.
    for (at = 1; at <= group_count; at++)
        if (texts[groups[at]])
            print "/** @addtogroup " groups[at] "\n" texts[groups[at]] " */"
    exit bare
}
