/* Combines the options of a caller with the defaults. */
#include <swale/memory.h>

#include <string.h>

sw_status sw_options_copy(const char *who, const char *type, void *options, size_t size, const void *given,
                          size_t least) {
    size_t given_size;
    memcpy(&given_size, given, sizeof given_size);
    if (given_size < least || given_size > size)
        return sw_fail(SW_ERR_ARGUMENT, "%s: options.size is %zu; sizeof(%s) is %zu", who, given_size, type, size);
    memcpy(options, given, given_size);
    return SW_OK;
}
