/* Methods by name. */
#ifndef SWALE_OPTIM_REGISTRY_H
#define SWALE_OPTIM_REGISTRY_H

#include <swale/optim.h>

typedef enum swo_kind { SWO_ESTIMATOR, SWO_RULE, SWO_SCHEDULE, SWO_SEARCH, SWO_AVERAGE, SWO_KINDS } swo_kind;
extern const char *const swo_kind_names[SWO_KINDS];
enum { SWO_METHODS = 128 }; /* the largest number of methods of a kind, built-in and registered */

/* Returns the method with this name, or NULL and an error with a suggestion. */
const void *swo_method_find(swo_kind kind, const char *name);
const void *swo_method_lookup(swo_kind kind, const char *name); /* NULL if there is none, without an error */
/* Lists the methods of a kind, up to `capacity`; returns their number. */
int swo_method_list(swo_kind kind, const void *list[], int capacity);

#endif
