/* The search of hyperparameters that optimizer_zoo and shampoo_muon share: quasirandom points in the ranges that the
 * option tables of rules give. Not part of the library. */
#ifndef SWALE_EXAMPLES_SEARCH_H
#define SWALE_EXAMPLES_SEARCH_H

#include <swale/swale.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SEARCH_DIMS = 10, SEARCH_SPEC = 512 };

/* The i-th number of dimension d < SEARCH_DIMS, in [0, 1): Halton points as in the AlgoPerf benchmark, with large
 * primes, permuted digits, and a random shift. */
static inline double search_halton(int d, int64_t i, uint64_t seed) {
    static const int prime[SEARCH_DIMS] = {997, 991, 983, 977, 971, 967, 953, 947, 941, 937};
    const int base = prime[d];
    int digit[1000] = {0};
    char site[32];
    snprintf(site, sizeof site, "halton %d", d);
    sw_rng rng = {.key = sw_rng_key(seed, site)};
    for (int k = 0; k < base; k++)
        digit[k] = k;
    for (int k = base - 1; k > 1; k--) { /* the digit 0 keeps its value: it is every missing digit */
        const int j = 1 + (int)sw_rng_below(&rng, (uint64_t)k), other = digit[j];
        digit[j] = digit[k];
        digit[k] = other;
    }
    double value = sw_rng_uniform(&rng), scale = 1;
    for (i += 100; i > 0; i /= base) { /* the first hundred points are skipped, because they are too regular */
        scale /= base;
        value += digit[i % base] * scale;
    }
    return value - floor(value);
}

/* Whether `fixed`, "period=20 beta=0.9", contains the option. */
static inline bool search_is_fixed(const char *fixed, const char *name) {
    const size_t length = strlen(name);
    for (const char *at = fixed; *at; at += strcspn(at, " "), at += strspn(at, " "))
        if (strncmp(at, name, length) == 0 && at[length] == '=')
            return true;
    return false;
}

/* The options that a search fixes: an eigendecomposition of 784 rows in every step would take hours. */
static inline const char *search_fixed(const sw_rule *rule) {
    return strcmp(rule->name, "shampoo") == 0 ? "period=20" : "";
}

/* Writes the spec of a trial, "adam lr=0.00123 beta1=0.91 …": the options in `fixed` ("" for none), and a value for
 * each other option that has a range for tuning. */
static inline void search_spec(const sw_rule *rule, const char *fixed, int64_t trial, uint64_t seed, char *spec,
                               size_t size) {
    size_t at = (size_t)snprintf(spec, size, "%s%s%s", rule->name, *fixed ? " " : "", fixed);
    int d = 0;
    for (const sw_option *o = rule->options; o && o->name && d < SEARCH_DIMS && at < size; o++) {
        if (!(o->search_low < o->search_high) || search_is_fixed(fixed, o->name))
            continue;
        const double u = search_halton(d++, trial, seed);
        double value = o->search_log ? o->search_low * pow(o->search_high / o->search_low, u)
                                     : o->search_low + u * (o->search_high - o->search_low);
        if (o->kind != SW_OPTION_REAL)
            value = rint(value);
        at += (size_t)snprintf(spec + at, size - at, " %s=%.4g", o->name, value);
    }
}

#endif
