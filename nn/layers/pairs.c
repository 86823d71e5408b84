/* Numbers along one or two axes, in descriptions. */
#include "nn/layers/pairs.h"

#include <swale/error.h>

#include <stdio.h>
#include <string.h>

void swn_pair_describe(char *text, size_t bytes, const char *name, const int64_t *pair, int axes, int64_t usual) {
    const size_t at = strlen(text);
    if (pair[0] == usual && pair[axes - 1] == usual)
        return;
    if (pair[0] == pair[axes - 1])
        snprintf(text + at, bytes - at, ", %s %lld", name, (long long)pair[0]);
    else
        snprintf(text + at, bytes - at, ", %s %lldx%lld", name, (long long)pair[0], (long long)pair[1]);
}

int swn_pair_restore(const sw_description *from, const char *key, int axes, int64_t least, int64_t *pair) {
    int count;
    if (sw_description_integers(from, key, least, INT32_MAX, 2, &count, pair) != SW_OK)
        return 0;
    if (axes > 0 ? count == axes : count >= 1)
        return count;
    sw_fail(SW_ERR_FORMAT, "setting %s has %d numbers; %s needed", key, count,
            axes == 0   ? "1 or 2 are"
            : axes == 1 ? "1 is"
                        : "2 are");
    return 0;
}
