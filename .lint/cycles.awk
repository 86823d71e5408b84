# Finds circles of files that need one another. Input: lines "file D symbol" (the file defines it) and "file U symbol" (the
# file uses it). Prints each circle with its symbols; fails if there is one.
$2 == "D" { home[$3] = $1 }
$2 == "U" { user[++uses] = $1; symbol[uses] = $3 }
END {
    for (i = 1; i <= uses; i++) {
        from = user[i]
        to = home[symbol[i]]
        if (to == "" || to == from)
            continue
        if (!((from, to) in names))
            next_of[from] = next_of[from] " " to
        names[from, to] = names[from, to] " " symbol[i]
        file[from] = file[to] = 1
    }
    for (f in file)
        reach_from(f)
    for (f in file) {
        if (!((f, f) in reaches) || (f in shown))
            continue
        print "files that need one another:"
        for (g in file)
            if ((f, g) in reaches && (g, f) in reaches) {
                shown[g] = 1
                count = split(next_of[g], targets, " ")
                for (i = 1; i <= count; i++)
                    if ((targets[i], f) in reaches && (f, targets[i]) in reaches)
                        print "    " g " uses" names[g, targets[i]] " of " targets[i]
            }
        bad = 1
    }
    exit bad
}
# reaches[start, f]: start needs f, directly or through others.
function reach_from(start,    queue, head, tail, count, targets, i) {
    queue[tail = 1] = start
    for (head = 1; head <= tail; head++) {
        count = split(next_of[queue[head]], targets, " ")
        for (i = 1; i <= count; i++)
            if (!((start, targets[i]) in reaches)) {
                reaches[start, targets[i]] = 1
                queue[++tail] = targets[i]
            }
    }
}
