/* Selectors of groups: "role=weight rank=2". */
#ifndef SWALE_OPTIM_SELECTOR_H
#define SWALE_OPTIM_SELECTOR_H

#include <swale/optim.h>

/* The canonical text of the selectors in `text`, separated by one blank, in the order role, rank, name, so that equal
 * selections have equal texts in files. The caller frees it by sw_free. NULL and an error if the text is not valid. */
char *swo_selector_new(const char *text);
/* Whether the selectors all match the parameter. A selector NULL matches every parameter. */
bool swo_selector_matches(const char *selector, const sw_param *param);
/* The length of the selectors at the beginning of `text`: of the words with a known key. 0: there is none. */
size_t swo_selector_length(const char *text);

#endif
