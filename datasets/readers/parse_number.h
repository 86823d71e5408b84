/* Converts decimal numbers to doubles, correctly rounded in every locale. */
#ifndef SWALE_DATASETS_PARSE_NUMBER_H
#define SWALE_DATASETS_PARSE_NUMBER_H

typedef enum swd_number_kind { SWD_NUMBER, SWD_NONFINITE, SWD_TOO_LARGE, SWD_NO_NUMBER } swd_number_kind;
/* Converts all of `text`: a decimal number, rounded to the nearest double; or nan, inf, infinity. */
swd_number_kind swd_parse_number(const char *text, double *value);

#endif
