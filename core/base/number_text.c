/* Conversion between numbers and text, with a decimal point in every locale, as in the locale "C". */
#define _POSIX_C_SOURCE 200809L /* newlocale, uselocale */
#include <swale/text.h>

#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* For the locale "C", glibc and musl return a static object, which need not be freed. If newlocale fails, the locale of
 * the caller remains in use. */
void *sw_locale_begin(void) {
    return (void *)uselocale(newlocale(LC_ALL_MASK, "C", (locale_t)0));
}

void sw_locale_end(void *before) {
    uselocale((locale_t)before);
}

double sw_parse_number(const char *text, char **end) {
    void *before = sw_locale_begin();
    const double value = strtod(text, end);
    sw_locale_end(before);
    return value;
}

int sw_vformat(char *out, size_t size, const char *format, va_list list) {
    void *before = sw_locale_begin();
    const int length = vsnprintf(out, size, format, list);
    sw_locale_end(before);
    return length;
}

int sw_format(char *out, size_t size, const char *format, ...) {
    va_list list;
    va_start(list, format);
    const int length = sw_vformat(out, size, format, list);
    va_end(list);
    return length;
}

const char *sw_format_number(double value, char text[32]) {
    enum { FEWEST = 15, MOST = 17 }; /* 15 digits survive text → double → text; 17 digits identify every double */
    for (int digits = FEWEST; digits <= MOST; digits++) {
        sw_format(text, 32, "%.*g", digits, value);
        if (sw_parse_number(text, NULL) == value)
            break;
    }
    return text;
}
