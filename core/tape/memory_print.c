/* Prints the memory report and the memory of a tape. */
#include <swale/blas.h>
#include <swale/inspect.h>
#include <swale/memory.h>

#include "core/tape/node.h"

#include <stdio.h>

/* "memory.optimizer.adam.m" for the account optimizer and the name adam.m. */
static void memory_print_line(FILE *to, const char *account, const char *name, size_t live, size_t peak) {
    char both[96];
    snprintf(both, sizeof both, "memory.%s%s%s", account, name ? "." : "", name ? name : "");
    fprintf(to, "%-36s %14zu %14zu\n", both, live, peak);
}

static void memory_print_entries(FILE *to) {
    enum { MOST = SW_ACCOUNTS + 512 }; /* as many as there can be */
    sw_memory_entry entry[MOST];
    const int count = sw_memory_report(entry, MOST);
    for (int i = 0; i < count && i < MOST; i++)
        memory_print_line(to, sw_account_name(entry[i].account), entry[i].name, entry[i].live, entry[i].peak);
}

void sw_memory_print(FILE *to) {
    if (!to)
        return;
    fprintf(to, "%-36s %14s %14s\n", "memory in bytes", "now", "most");
    memory_print_entries(to);
    memory_print_line(to, "total", NULL, sw_memory_live_total(), sw_memory_peak_total());
    fprintf(to,
            "not counted: OpenBLAS, which has mapped %d buffers of %zu bytes of address space; zlib and jansson, while "
            "files are read or written; stacks of threads; what the program allocates itself\n",
            sw_blas_buffers(), SW_BLAS_BUFFER);
}

static void memory_print_bytes(FILE *to, const char *kind, const char *name, size_t bytes) {
    char both[192];
    snprintf(both, sizeof both, "%s%s%s", kind, name ? "." : "", name ? name : "");
    fprintf(to, "%-36s %14zu\n", both, bytes);
}

void sw_tape_memory_print(const sw_tape *tape, FILE *to) {
    if (!tape || !to)
        return;
    memory_print_bytes(to, "arena", "capacity", sw_tape_capacity_bytes(tape));
    memory_print_bytes(to, "arena", "high_water", sw_tape_high_water_bytes(tape));
    memory_print_bytes(to, "arena", "live_set", sw_tape_live_set_bytes(tape));
    int count;
    const sw_tape_layer *layer = swi_activations_of(tape, &count);
    size_t sum = 0;
    for (int i = 0; i < count; i++)
        sum += layer[i].bytes;
    if (count)
        memory_print_bytes(to, "activations", NULL, sum);
    for (int i = 0; i < count; i++)
        memory_print_bytes(to, "activations", layer[i].layer ? layer[i].layer : "(no_layer)", layer[i].bytes);
}
