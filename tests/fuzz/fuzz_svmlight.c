/* The first byte selects options. The result must be consistent. */
#include "fuzz.h"

#include <math.h>

/* Every row in both types, unless it is too wide. */
static void gather_rows(const sw_source *s) {
    enum { WIDEST = 1000 };
    static double x[WIDEST];
    double y = 0;
    for (int64_t i = 0; i < s->n && s->x_shape[0] <= WIDEST; i++)
        if (sw_source_gather(s, i % 2 ? SW_F32 : SW_F64, 0, &i, 1, x, &y) != SW_OK)
            abort();
}

static void check_data(const sw_svmlight *d, const sw_svmlight_options *o) {
    if (!o->allow_nonfinite && sw_csr_check(&d->x) != SW_OK)
        abort();
    if (d->x.columns < 1 || d->x.type != o->type || (o->columns > 0 && d->x.columns != o->columns) ||
        d->source->n != d->x.rows || !d->ids != (d->classes == 0))
        abort();
    for (int64_t i = 0; i < d->x.rows; i++)
        if (d->ids && (d->ids[i] < 0 || d->ids[i] >= d->classes || d->class_values[d->ids[i]] != d->y[i]))
            abort();
    gather_rows(d->source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int64_t columns[4] = {0, 3, 100, 0};
    const unsigned choice = size ? data[0] : 0;
    sw_svmlight_options o = {.size = sizeof o,
                             .type = choice & 1 ? SW_F64 : SW_F32,
                             .base = (sw_svmlight_base)((choice >> 1) % 3),
                             .target = (sw_svmlight_target)((choice >> 3) % 3),
                             .columns = columns[choice >> 5 & 3],
                             .allow_nonfinite = choice >> 7 & 1};
    const char *path = fuzz_file(data + (size > 0), size - (size > 0));
    sw_svmlight *d = sw_svmlight_load(path, &o);
    fuzz_check(d != NULL, path);
    if (!d)
        return 0;
    check_data(d, &o);
    o.like = d; /* a file is like itself */
    o.base = SW_SVMLIGHT_BASE_AUTO;
    o.columns = 0;
    sw_svmlight *again = sw_svmlight_load(path, &o);
    fuzz_check(again != NULL, path);
    if (!again || again->x.columns != d->x.columns || again->base != d->base || again->classes != d->classes)
        abort();
    sw_svmlight_free(d);
    check_data(again, &(sw_svmlight_options){.type = o.type, .allow_nonfinite = o.allow_nonfinite});
    sw_svmlight_free(again);
    return 0;
}
