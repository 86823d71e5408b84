/* Conversion of decimal numbers to doubles, correctly rounded in every locale. */
#include <swale/text.h>

#include "datasets/readers/parse_number.h"

#include <stdbool.h>

#include <math.h>

static bool number_is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool number_is_word(const char *text, const char *word) {
    while (*word && (*text | 0x20) == *word)
        text++, word++;
    return !*word && !*text;
}

/* The parts of [digits][.digits][e[sign]digits]. */
typedef struct decimal {
    uint64_t digits;  /* the mantissa, if it has at most 19 digits */
    int64_t exponent; /* the value is digits · 10^exponent */
    int significant;  /* number of digits without leading zeros */
} decimal;

/* Parses `p` after its sign; false if the text does not have this form. */
static bool decimal_scan(const char *p, decimal *d) {
    int any = 0;
    bool point = false;
    *d = (decimal){0};
    for (;; p++) {
        if (*p == '.' && !point) {
            point = true;
            continue;
        }
        if (!number_is_digit(*p))
            break;
        any = 1;
        d->exponent -= point;
        if (d->significant > 0 || *p != '0')
            d->significant++;
        if (d->significant <= 19)
            d->digits = 10 * d->digits + (uint64_t)(*p - '0');
    }
    if (!any)
        return false;
    if (*p == 'e' || *p == 'E') {
        bool negative = *++p == '-';
        int64_t exponent = 0;
        p += *p == '-' || *p == '+';
        if (!number_is_digit(*p))
            return false;
        for (; number_is_digit(*p); p++)
            exponent = exponent < 1000000 ? 10 * exponent + (*p - '0') : exponent;
        d->exponent += negative ? -exponent : exponent;
    }
    return !*p;
}

/* Both the digits and the power of ten are exact doubles, so that one operation rounds once (W. Clinger, PLDI 1990). */
static bool decimal_convert(const decimal *d, double *value) {
    static const double power[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                     1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (d->significant > 19 || d->digits > (uint64_t)1 << 53 || d->exponent < -22 || d->exponent > 22)
        return false;
    const double digits = (double)d->digits;
    *value = d->exponent < 0 ? digits / power[-d->exponent] : digits * power[d->exponent];
    return true;
}

swd_number_kind swd_parse_number(const char *text, double *value) {
    const bool negative = *text == '-';
    const char *p = text + (*text == '-' || *text == '+');
    decimal d;
    if (number_is_word(p, "nan")) {
        *value = (double)NAN;
        return SWD_NONFINITE;
    }
    if (number_is_word(p, "inf") || number_is_word(p, "infinity")) {
        *value = negative ? -(double)INFINITY : (double)INFINITY;
        return SWD_NONFINITE;
    }
    if (!decimal_scan(p, &d))
        return SWD_NO_NUMBER;
    if (!decimal_convert(&d, value))
        *value = sw_parse_number(p, NULL);
    *value = negative ? -*value : *value;
    return isfinite(*value) ? SWD_NUMBER : SWD_TOO_LARGE;
}
