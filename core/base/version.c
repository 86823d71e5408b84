/* The version of the library as text. */
#include <swale/library.h>

const char *sw_version(void) {
#define TEXT(x) #x
#define VERSION(a, b, c) TEXT(a) "." TEXT(b) "." TEXT(c)
    return VERSION(SW_VERSION_MAJOR, SW_VERSION_MINOR, SW_VERSION_PATCH);
}
