/* Every build of OpenBLAS: with POSIX threads, with OpenMP, without threads; `make check-flavors` runs this program
 * with each. Products and factorizations of LAPACK have equal bits for every number of threads of either library, from
 * every thread, and in the child of a fork. The program's number of OpenMP threads does not change. */
#define _GNU_SOURCE
#include "support.h"

#include <cblas.h>
#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <swale/extend.h>
#include <swale/nn.h>

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#endif

enum { SIZE = 256 }; /* SIZE³ is beyond OpenBLAS's small kernel, and what it would do on one thread */

static int (*omp_get_max_threads)(void);
static void (*omp_set_num_threads)(int);

static uint64_t hash_of(const void *data, size_t bytes) {
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ ((const unsigned char *)data)[i]) * 1099511628211u;
    return hash;
}

/* A product in f32 and in f64, one by a vector, and an orthogonal matrix (LAPACK). */
static uint64_t all_kinds(void) {
    const size_t count = (size_t)SIZE * SIZE;
    float *a = malloc(3 * count * sizeof *a);
    double *b = malloc(3 * count * sizeof *b);
    if (!a || !b)
        abort();
    uint64_t seed = 7, hash = 0;
    for (size_t i = 0; i < 2 * count; i++) {
        a[i] = (float)test_uniform(&seed, -1, 1);
        b[i] = a[i];
    }
    sw_gemm(SW_F32, false, true, SIZE, SIZE, SIZE, 1, a, SIZE, a + count, SIZE, 0, a + 2 * count, SIZE);
    hash ^= hash_of(a + 2 * count, count * sizeof *a);
    sw_gemm(SW_F64, true, false, SIZE, SIZE, SIZE, 1, b, SIZE, b + count, SIZE, 0, b + 2 * count, SIZE);
    hash ^= hash_of(b + 2 * count, count * sizeof *b) * 3;
    sw_gemm(SW_F32, false, false, 1, SIZE, SIZE, 1, a, SIZE, a + count, SIZE, 0, a + 2 * count, SIZE);
    hash ^= hash_of(a + 2 * count, SIZE * sizeof *a) * 5;
    sw_rng rng = {.key = 3};
    const sw_param param = {.rank = 2, .shape = {SIZE, SIZE}, .count = (int64_t)count};
    const sw_init init = sw_init_orthogonal(1);
    if (init.fill(&init, &param, &rng, b) != SW_OK)
        abort();
    hash ^= hash_of(b, count * sizeof *b) * 7;
    free(a);
    free(b);
    return hash;
}

static int threads_here(void) {
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    int count = 0;
    for (const struct dirent *entry; (entry = readdir(tasks));)
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

/* The library that check-flavors means is the one that runs. */
static void test_flavor_is_the_one_asked_for(void **state) {
    (void)state;
    static const char *const names[] = {"serial", "pthread", "openmp"};
    const char *wanted = getenv("SW_TEST_FLAVOR");
    if (!wanted)
        skip();
    assert_string_equal(names[openblas_get_parallel()], wanted);
    assert_true((openblas_get_parallel() == 2) == (omp_get_max_threads != NULL));
}

static void test_bits_are_equal_for_every_number_of_threads(void **state) {
    (void)state;
    static const int counts[] = {1, 2, 3, 4, 8};
    sw_set_threads(1);
    const uint64_t right = all_kinds();
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        assert_int_equal(sw_set_threads(counts[i]), SW_OK);
        for (int call = 0; call < 3; call++)
            assert_true(all_kinds() == right);
    }
}

/* No thread of OpenMP is started for products, nor is its number changed, or heeded. */
static void test_openmp_threads_of_the_program_are_left_alone(void **state) {
    (void)state;
    if (!omp_get_max_threads)
        skip();
    static const int counts[] = {1, 2, 3, 5};
    const int before = omp_get_max_threads();
    sw_set_threads(2);
    const uint64_t right = all_kinds();
    const int threads = threads_here();
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        omp_set_num_threads(counts[i]);
        assert_true(all_kinds() == right);
        assert_int_equal(omp_get_max_threads(), counts[i]);
    }
    assert_int_equal(threads_here(), threads);
    omp_set_num_threads(before);
}

enum { CALLERS = 4 };

static void *caller(void *args) {
    uint64_t *hash = args;
    int omp = omp_get_max_threads ? omp_get_max_threads() : 0;
    *hash = all_kinds();
    for (int call = 0; call < 3; call++)
        if (all_kinds() != *hash || (omp && omp_get_max_threads() != omp))
            *hash = 0;
    return NULL;
}

static void test_concurrent_callers_get_the_same_bits(void **state) {
    (void)state;
    sw_set_threads(2);
    const uint64_t right = all_kinds();
    for (int round = 0; round < 3; round++) {
        pthread_t thread[CALLERS];
        uint64_t hash[CALLERS];
        for (int i = 0; i < CALLERS; i++)
            assert_int_equal(pthread_create(&thread[i], NULL, caller, &hash[i]), 0);
        for (int i = 0; i < CALLERS; i++)
            pthread_join(thread[i], NULL);
        for (int i = 0; i < CALLERS; i++)
            assert_true(hash[i] == right);
    }
}

#if !defined(THREAD_SANITIZER) /* which does not support threads in the child */

/* The leak sanitizer asks: a child exits without the threads that hold memory. */
static bool is_child;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) {
    return is_child;
}

static atomic_bool stop;

static void *keep_multiplying(void *args) {
    while (!atomic_load(&stop))
        all_kinds();
    return args;
}

/* While no other thread computes, and while three do. A child that hangs is ended by its alarm. */
static void test_forked_child_computes_the_same_bits(void **state) {
    (void)state;
    sw_set_threads(2);
    const uint64_t right = all_kinds();
    for (int round = 0; round < 8; round++) {
        pthread_t busy[3];
        const int others = round < 3 ? 0 : 3;
        atomic_store(&stop, false);
        for (int i = 0; i < others; i++)
            assert_int_equal(pthread_create(&busy[i], NULL, keep_multiplying, NULL), 0);
        usleep(others ? 3000 : 0);
        const pid_t child = fork();
        if (child == 0) {
            is_child = true;
            alarm(60);
            const bool good = all_kinds() == right && sw_set_threads(3) == SW_OK && all_kinds() == right;
            exit(good ? 0 : 1);
        }
        assert_true(child > 0);
        int result;
        assert_int_equal(waitpid(child, &result, 0), child);
        assert_int_equal(result, 0);
        assert_true(all_kinds() == right);
        atomic_store(&stop, true);
        for (int i = 0; i < others; i++)
            pthread_join(busy[i], NULL);
    }
}

#endif

int main(void) {
    *(void **)&omp_get_max_threads = dlsym(RTLD_DEFAULT, "omp_get_max_threads");
    *(void **)&omp_set_num_threads = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_flavor_is_the_one_asked_for, test_clear),
        cmocka_unit_test_setup(test_bits_are_equal_for_every_number_of_threads, test_clear),
        cmocka_unit_test_setup(test_openmp_threads_of_the_program_are_left_alone, test_clear),
        cmocka_unit_test_setup(test_concurrent_callers_get_the_same_bits, test_clear),
#if !defined(THREAD_SANITIZER)
        cmocka_unit_test_setup(test_forked_child_computes_the_same_bits, test_clear),
#endif
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sw_set_threads(1);
    return failed;
}
