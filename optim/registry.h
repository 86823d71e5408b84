/* Methods by name. */
#ifndef SWALE_OPTIM_REGISTRY_H
#define SWALE_OPTIM_REGISTRY_H

#include <swale/optim.h>

typedef enum swo_kind { SWO_ESTIMATOR, SWO_RULE, SWO_SCHEDULE, SWO_SEARCH, SWO_AVERAGE, SWO_KINDS } swo_kind;
extern const char *const swo_kind_names[SWO_KINDS];
enum { SWO_METHODS = 128 }; /* of a kind, at most: built-in and registered ones */

/* The method, or NULL and an error with a suggestion. */
const void *swo_method_find(swo_kind kind, const char *name);
const void *swo_method_lookup(swo_kind kind, const char *name); /* NULL without an error */
/* All methods of a kind; returns how many. */
int swo_method_list(swo_kind kind, const void *list[], int capacity);

#endif
