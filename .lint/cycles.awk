# Finds cycles of dependencies between files. Input: lines "file D symbol" (the file defines the symbol) and "file U
# symbol" (the file uses it). Prints each cycle with its symbols; exit status 1 if there is one.
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
        print "cyclic dependencies between files:"
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
# Sets reaches[start, f] for every file f that `start` depends on, directly or through other files.
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
