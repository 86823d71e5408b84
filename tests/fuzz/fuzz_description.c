/* If a description makes a network, the description of that network makes an equal one. */
#include "fuzz.h"

#include <swale/memory.h>
#include <swale/nn.h>

enum { MOST_AT_ONCE = 1 << 24 }; /* a text may demand more memory than there is */

static void *bounded_take(void *user, size_t size, size_t alignment) {
    (void)user;
    return size > MOST_AT_ONCE ? NULL : aligned_alloc(alignment, size);
}
static void bounded_give(void *user, void *memory) {
    (void)user;
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const sw_allocator bounded = {sizeof bounded, NULL, bounded_take, bounded_give};
    static int begun;
    if (!begun++)
        sw_set_allocator(&bounded);
    char *text = malloc(size + 1);
    if (!text)
        abort();
    memcpy(text, data, size);
    text[size] = 0;
    sw_model *model = sw_model_new_from_description(text);
    free(text);
    fuzz_check(model != NULL, "");
    if (!model)
        return 0;
    char *own = sw_model_description(model);
    fuzz_check(own != NULL, "");
    sw_model *again = sw_model_new_from_description(own);
    fuzz_check(again != NULL, "");
    text = sw_model_description(again);
    if (!text || strcmp(text, own) != 0)
        abort();
    sw_free(own);
    sw_free(text);
    sw_model_free(again);
    sw_model_free(model);
    return 0;
}
