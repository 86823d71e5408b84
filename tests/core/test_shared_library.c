/* dlopen of libswale.so in a program that is statically linked with the library. */
#include "support.h"

#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

/* In a child process, so that this one keeps a single copy of the library. */
static void test_shared_library_loads_beside_the_static_one(void **state) {
    (void)state;
    static const char path[] = TEST_BUILD "/libswale.so";
    if (access(path, R_OK) != 0) {
        print_message("test_shared_library_loads_beside_the_static_one: %s is not built\n", path);
        skip();
    }
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char here[4096]; /* a name with a slash: no search path */
        snprintf(here, sizeof here, "%s%s", path[0] == '/' ? "" : "./", path);
        void *library = dlopen(here, RTLD_NOW | RTLD_LOCAL);
        const char *(*version)(void) = NULL;
        void *symbol = library ? dlsym(library, "sw_version") : NULL;
        if (symbol)
            memcpy(&version, &symbol, sizeof version);
        else
            fprintf(stderr, "%s\n", dlerror());
        _exit(version && strcmp(version(), sw_version()) == 0 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_shared_library_loads_beside_the_static_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
