/* The choice of features and targets among the columns of a CSV file. */
#include <swale/extend.h>

#include "datasets/readers/csv.h"

#include <string.h>

static sw_status csv_fail_column_number(const swd_csv *c, const char *what, long long column) {
    char hint[64];
    return swd_stream_fail(&c->lines.in, SW_ERR_ARGUMENT,
                           "%s: column %lld, but there are %lld, 0 to %lld or -1 to "
                           "-%lld%s",
                           what, column, (long long)c->columns, (long long)c->columns - 1, (long long)c->columns,
                           swd_csv_hint(c, NULL, hint));
}

static sw_status csv_column_by_number(const swd_csv *c, const char *what, int64_t given, int64_t *column) {
    if (given < -c->columns || given >= c->columns)
        return csv_fail_column_number(c, what, given);
    *column = given < 0 ? given + c->columns : given;
    return SW_OK;
}

static sw_status csv_column_by_name(const swd_csv *c, const char *what, const char *name, bool header,
                                    int64_t *column) {
    enum { MOST_NAMES = 1000 }; /* the largest number of names that are compared for a suggestion */
    char quoted[64], hint[64];
    swd_quote(name ? name : "", quoted);
    if (!name || !header)
        return swd_stream_fail(&c->lines.in, SW_ERR_ARGUMENT, "%s: column %s, but %s%s", what, quoted,
                               name ? "the file has no header" : "the name is NULL",
                               name ? swd_csv_hint(c, NULL, hint) : "");
    *column = -1;
    for (int64_t i = 0; i < c->columns; i++) {
        if (strcmp(swd_csv_field(c, i), name) != 0)
            continue;
        if (*column >= 0)
            return swd_stream_fail(&c->lines.in, SW_ERR_ARGUMENT, "%s: columns %lld and %lld are both named %s", what,
                                   (long long)*column, (long long)i, quoted);
        *column = i;
    }
    if (*column >= 0)
        return SW_OK;
    const char *names[MOST_NAMES];
    const int count = (int)(c->columns < MOST_NAMES ? c->columns : MOST_NAMES);
    for (int i = 0; i < count; i++)
        names[i] = swd_csv_field(c, i);
    return swd_stream_fail(&c->lines.in, SW_ERR_ARGUMENT, "%s: no column is named %s%.100s%s", what, quoted,
                           sw_suggest(name, count, names), swd_csv_hint(c, NULL, hint));
}

static sw_status csv_mark_skipped(swd_csv *c, bool header) {
    int64_t column = 0;
    for (int64_t i = 0; i < c->o.skip_count; i++) {
        SW_TRY(csv_column_by_number(c, "skip", c->o.skip[i], &column));
        c->role[column] = SWD_SKIPPED;
    }
    for (int64_t i = 0; i < c->o.skip_names_count; i++) {
        SW_TRY(csv_column_by_name(c, "skip", c->o.skip_names[i], header, &column));
        c->role[column] = SWD_SKIPPED;
    }
    return SW_OK;
}

static sw_status csv_mark_target(swd_csv *c, bool header) {
    int64_t column = 0;
    if (c->o.target == SW_CSV_NO_TARGET)
        return SW_OK;
    if (c->o.target_name)
        SW_TRY(csv_column_by_name(c, "target", c->o.target_name, header, &column));
    else
        SW_TRY(csv_column_by_number(c, "target",
                                    c->o.target_column == 0                     ? -1
                                    : c->o.target_column == SW_CSV_FIRST_COLUMN ? 0
                                                                                : c->o.target_column,
                                    &column));
    if (c->role[column] == SWD_SKIPPED)
        return swd_stream_fail(&c->lines.in, SW_ERR_ARGUMENT, "target: column %lld is also to be skipped",
                               (long long)column);
    c->role[column] = SWD_TARGET;
    return SW_OK;
}

sw_status swd_csv_roles(swd_csv *c, bool header) {
    c->role = sw_alloc_for(SW_ACCOUNT_TEMPORARIES, (size_t)c->columns); /* zeroed: all columns are features */
    if (!c->role)
        return swd_stream_fail_memory(&c->lines.in);
    SW_TRY(csv_mark_skipped(c, header));
    SW_TRY(csv_mark_target(c, header));
    for (int64_t i = 0; i < c->columns; i++)
        c->features += c->role[i] == SWD_FEATURE;
    char hint[64];
    if (c->features == 0)
        return swd_stream_fail(&c->lines.in, SW_ERR_ARGUMENT, "no column of %lld is left for x%s",
                               (long long)c->columns, swd_csv_hint(c, NULL, hint));
    return SW_OK;
}
