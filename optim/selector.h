/* Selectors of groups: "role=weight rank=2". */
#ifndef SWALE_OPTIM_SELECTOR_H
#define SWALE_OPTIM_SELECTOR_H

#include <swale/optim.h>

/* The canonical text of the selectors in `text`: valid, one blank apart, in the order role, rank, name; so that equal
 * choices have equal texts in files. sw_free it. NULL and an error that names what is wrong. */
char *swo_selector_new(const char *text);
/* Whether the parameter has all that the selector asks for. NULL: it does. */
bool swo_selector_matches(const char *selector, const sw_param *param);
/* The length of the selectors at the beginning of `text`: of the words with a known key. 0: there is none. */
size_t swo_selector_length(const char *text);

#endif
