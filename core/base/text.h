/* Text: parts of error messages, numbers as text that is the same in every locale, and a clock. */
#ifndef SWALE_TEXT_H
#define SWALE_TEXT_H

#include <swale/error.h>
#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Parts of error messages ---- */

/* A shape as text: "[64,784]". The text is valid until this thread has called the function four more times. */
SW_API const char *sw_shape_text(int rank, const int64_t *shape);
/* ", did you mean NAME?" with the most similar of `count` names, or "" if every name differs from `word` by more than
 * two letters. Upper and lower case count as equal. The text is valid until the next call by this thread. */
SW_API const char *sw_suggest(const char *word, int count, const char *const *names);

/* A list of mismatches for one error message: "a is missing; b is [2] here and [3] in the file; … and 12 more". Start
 * with {0}, add each mismatch, and pass the text to sw_fail. */
typedef struct sw_error_list {
    int count, listed; /* mismatches that were added; those of them that are in the text */
    size_t used;       /* bytes of the text */
    char text[2000];
} sw_error_list;
/* Adds a mismatch and keeps at most 399 bytes of its text. If the list has no room left, the mismatch is only
 * counted. */
SW_API void sw_error_list_add(sw_error_list *list, const char *format, ...) SW_PRINTF(2, 3);
/* The text of the list, which ends with "; … and N more" if some mismatches had no room. */
SW_API const char *sw_error_list_text(sw_error_list *list);

/* ---- Numbers and texts ---- */
/* The library writes numbers to files and messages, and reads them back, through these functions only. They use a
 * decimal point in every locale, as the locale "C" does. */

/* As strtod; `end` may be NULL. */
SW_API double sw_parse_number(const char *text, char **end);
/* Writes the shortest text with 15 to 17 significant digits that sw_parse_number converts back to the same number.
 * Returns `text`. */
SW_API const char *sw_format_number(double value, char text[32]);
/* As snprintf and vsnprintf. */
SW_API int sw_format(char *out, size_t size, const char *format, ...) SW_PRINTF(3, 4);
SW_API int sw_vformat(char *out, size_t size, const char *format, va_list list) SW_PRINTF(3, 0);
/* Between these two calls the calling thread uses the locale "C", for text that is printed to a FILE. Pass the result
 * of sw_locale_begin, the previous locale, to sw_locale_end. */
SW_API void *sw_locale_begin(void);
SW_API void sw_locale_end(void *before);

/* ---- Time ---- */

/* The time in seconds on a monotonic clock, since an arbitrary start. */
SW_API double sw_seconds(void);

#ifdef __cplusplus
}
#endif
#endif
