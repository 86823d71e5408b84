/* Messages, and numbers as text: the same in every locale. */
#ifndef SWALE_TEXT_H
#define SWALE_TEXT_H

#include <swale/error.h>
#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "[64,784]", in a buffer that stays valid for the next few calls of this thread. */
SW_API const char *sw_shape_text(int rank, const int64_t *shape);
/* ", did you mean NAME?" with the nearest of the names (upper and lower case count as equal), or "" if none
 * is near; until this thread's next call. */
SW_API const char *sw_suggest(const char *word, int count, const char *const *names);

/* Faults that are reported in one message: "a is missing; b is [2] here and [3] in the file; … and 12 more".
 * Starts as {0}; goes into a message of sw_fail as its text. */
typedef struct sw_error_list {
    int count, told;
    size_t used;
    char text[2000];
} sw_error_list;
SW_API void sw_error_list_add(sw_error_list *faults, const char *format, ...) SW_PRINTF(2, 3);
SW_API const char *sw_error_list_text(sw_error_list *faults);

/* ---- Numbers and texts ---- */
/* Text that is read again, written to a file or shown in a message is the same in every locale: all numbers go
 * through these functions, which write and expect a point, as in the locale "C". */

/* strtod, with its `end`, which may be NULL. */
SW_API double sw_parse_number(const char *text, char **end);
/* The shortest text of 15 to 17 digits that sw_parse_number turns into the same number. Returns `text`. */
SW_API const char *sw_format_number(double value, char text[32]);
/* snprintf and vsnprintf. */
SW_API int sw_format(char *out, size_t size, const char *format, ...) SW_PRINTF(3, 4);
SW_API int sw_vformat(char *out, size_t size, const char *format, va_list list) SW_PRINTF(3, 0);
/* Between these two calls the calling thread uses the locale "C", for text printed to a FILE. Pass the result
 * of sw_locale_begin to sw_locale_end. */
SW_API void *sw_locale_begin(void);
SW_API void sw_locale_end(void *before);

/* ---- Time ---- */

/* Seconds of a clock that only goes forward, from an arbitrary start. */
SW_API double sw_seconds(void);

#ifdef __cplusplus
}
#endif
#endif
