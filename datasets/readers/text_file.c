/* Reads a file as one text. */
#include <swale/extend.h>
#include <swale/tokenizer.h>

#include "datasets/readers/gzip_stream.h"

static sw_status text_file_read(swd_stream *in, char **text, int64_t *used) {
    /* a plain file has the size of the file, and one byte more is requested to find its end */
    int64_t room = in->compressed ? 64 * 1024 : in->file_size + 1;
    for (;;) {
        if (sw_resize_array_for(SW_ACCOUNT_DATA, text, *used, room + 1, 1) != SW_OK)
            return swd_stream_fail_memory(in);
        size_t made = 0;
        SW_TRY(swd_stream_read(in, *text + *used, (size_t)(room - *used), &made));
        *used += (int64_t)made;
        if (*used < room)
            break;
        room *= 2;
    }
    (*text)[*used] = 0;
    return SW_OK;
}

char *sw_text_load(const char *path, size_t *bytes) {
    char *text = NULL;
    int64_t used = 0;
    if (bytes)
        *bytes = 0;
    if (!path) {
        sw_fail(SW_ERR_ARGUMENT, "text_load: the path is NULL");
        return NULL;
    }
    swd_stream in = {.members = true};
    sw_status status = swd_stream_open(&in, path);
    if (status == SW_OK)
        status = text_file_read(&in, &text, &used);
    swd_stream_close(&in);
    if (status != SW_OK) {
        sw_free(text);
        return NULL;
    }
    if (bytes)
        *bytes = (size_t)used;
    return text;
}
