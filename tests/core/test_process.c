/* The library in a process: loading and unloading, exit, fork, little memory. This program is linked with neither swale
 * nor OpenBLAS. Each test loads libswale.so in a child process, which an alarm ends if it hangs. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <swale/datasets.h>
#include <swale/extend.h>
#include <swale/nn.h>
#include <swale/optim.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZER 1
#endif
#endif

enum { HANGS = 60, RIGHT = 7, WRONG = 1 }; /* seconds; exit statuses of a child */

/* ---- The library's functions, where they are now ---- */

/* clang-format off */
#define FUNCTIONS(X) \
    X(sw_gemm) X(sw_parallel) X(sw_set_threads) X(sw_error) X(sw_error_status) X(sw_clear_error) \
    X(sw_blas_core) X(sw_model_new) X(sw_nn_sequential_listed) X(sw_nn_linear) X(sw_nn_relu) X(sw_model_build) \
    X(sw_model_free) X(sw_optim_new) X(sw_optim_free) X(sw_tape_new) X(sw_tape_free) X(sw_tape_reset) \
    X(sw_input) X(sw_forward) X(sw_cross_entropy) X(sw_backward) X(sw_optim_step) X(sw_array_view) \
    X(sw_loader_new) X(sw_loader_next) X(sw_loader_free)
#define DECLARE(name) __typeof__(&name) name;
static struct {
    FUNCTIONS(DECLARE)
} s;
/* clang-format on */

static void *load(void) {
    void *library = dlopen("./" TEST_BUILD "/libswale.so", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(WRONG);
    }
#define FIND(name)                                      \
    if (!(*(void **)&s.name = dlsym(library, #name))) { \
        fprintf(stderr, "%s\n", dlerror());             \
        exit(WRONG);                                    \
    }
    FUNCTIONS(FIND)
    return library;
}

/* ---- Children ---- */

/* The leak sanitizer asks: children exit while other threads hold memory. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) {
    return 1;
}

static void expect_child(void (*run)(void), int status) {
    const pid_t child = fork();
    if (child == 0) {
        static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}; /* cmocka handles them */
        for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
            signal(faults[i], SIG_DFL);
        alarm(HANGS);
        run();
        exit(RIGHT);
    }
    assert_true(child > 0);
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    if (!WIFEXITED(result) || WEXITSTATUS(result) != status)
        fail_msg("the child ended with %s %d", WIFSIGNALED(result) ? "signal" : "status",
                 WIFSIGNALED(result) ? WTERMSIG(result) : WEXITSTATUS(result));
}

#define CHECK(condition)                                                    \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            _exit(WRONG);                                                   \
        }                                                                   \
    } while (0)

static int threads_here(void) {
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks);
    int count = 0;
    for (const struct dirent *entry; (entry = readdir(tasks));)
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

/* A line of /proc/self/status, in KiB. */
static long memory_here(const char *name) {
    FILE *file = fopen("/proc/self/status", "r");
    CHECK(file);
    char line[256];
    long kib = -1;
    while (fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtol(line + strlen(name) + 1, NULL, 10);
    fclose(file);
    CHECK(kib >= 0);
    return kib;
}

/* ---- Work for the threads ---- */

enum { BATCH = 256, INPUTS = 256, HIDDEN = 256, CLASSES = 10 };

static void train(void) {
    static float x[BATCH * INPUTS];
    static int32_t y[BATCH];
    for (int i = 0; i < BATCH * INPUTS; i++)
        x[i] = (float)(i * 37 % 101) / 101;
    for (int i = 0; i < BATCH; i++)
        y[i] = i % CLASSES;
    CHECK(s.sw_set_threads(4) == SW_OK);
    sw_model *model = s.sw_model_new(SW_F32, 1);
    sw_module *net = s.sw_nn_sequential(model, s.sw_nn_linear(model, INPUTS, HIDDEN), s.sw_nn_relu(model),
                                        s.sw_nn_linear(model, HIDDEN, CLASSES));
    sw_optim *optim = s.sw_optim_new(s.sw_model_build(model, net), "adam lr=1e-3");
    sw_tape *tape = s.sw_tape_new();
    for (int step = 0; step < 3; step++) {
        sw_tensor in = s.sw_input(tape, s.sw_array_view(x, SW_F32, 2, (int64_t[]){BATCH, INPUTS}));
        sw_tensor target = s.sw_input(tape, s.sw_array_view(y, SW_I32, 1, (int64_t[]){BATCH}));
        s.sw_backward(s.sw_cross_entropy(s.sw_forward(net, in), target));
        CHECK(s.sw_optim_step(optim) == SW_OK);
        s.sw_tape_reset(tape);
    }
    s.sw_tape_free(tape);
    s.sw_optim_free(optim);
    s.sw_model_free(model);
    CHECK(!s.sw_error());
}

enum { SIZE = 512 };
typedef struct matrices {
    float a[SIZE * SIZE], c[SIZE * SIZE];
} matrices;

static sw_status multiply(matrices *m) {
    return s.sw_gemm(SW_F32, false, true, SIZE, SIZE, SIZE, 1, m->a, SIZE, m->a, SIZE, 0, m->c, SIZE);
}

static matrices *new_matrices(void) {
    matrices *m = malloc(sizeof *m);
    CHECK(m);
    for (int i = 0; i < SIZE * SIZE; i++)
        m->a[i] = (float)(i % 7) - 3;
    return m;
}

static void *keep_multiplying(void *args) {
    matrices *m = new_matrices();
    for (;;)
        multiply(m);
    return args;
}

static void keep_busy(int threads) {
    pthread_t thread;
    for (int i = 0; i < threads; i++)
        CHECK(pthread_create(&thread, NULL, keep_multiplying, NULL) == 0);
}

/* ---- Unloading ---- */

/* A thread that was joined may be listed for a moment more. */
static void expect_one_thread(void) {
    for (int i = 0; threads_here() > 1; i++) {
        CHECK(i < 2000);
        usleep(1000);
    }
}

/* The memory after the first cycles is that after all. What a cycle would leave behind is a page at least:
 * a thread's stack, a buffer of OpenBLAS, a table. The bound is a quarter of a page for each cycle
 * (libgomp, where OpenBLAS brings it, leaves 0.4 KiB of its own); the address space stays within one
 * thread's stack. Free pages are given back before they are counted. */
static void load_and_unload(void) {
    enum { CYCLES = 100, FIRST = 20, PAGE_KIB = 4, STACK_KIB = 8192 };
    long resident = 0, mapped = 0;
    for (int cycle = 0; cycle < CYCLES; cycle++) {
        void *library = load();
        train();
        CHECK(threads_here() >= 4);
        CHECK(dlclose(library) == 0);
        CHECK(!dlopen("./" TEST_BUILD "/libswale.so", RTLD_NOW | RTLD_NOLOAD));
        expect_one_thread();
        if (cycle == FIRST) {
            malloc_trim(0);
            resident = memory_here("VmRSS");
            mapped = memory_here("VmSize");
        }
    }
    malloc_trim(0);
#if !defined(SANITIZER)
    if (memory_here("VmRSS") - resident > (CYCLES - FIRST) * PAGE_KIB / 4 ||
        memory_here("VmSize") - mapped > STACK_KIB) {
        fprintf(stderr, "resident %ld KiB, then %ld; mapped %ld, then %ld\n", resident, memory_here("VmRSS"), mapped,
                memory_here("VmSize"));
        exit(WRONG);
    }
#else
    (void)resident, (void)mapped;
#endif
}

static void test_unloading_leaves_no_thread_and_no_memory(void **state) {
    (void)state;
    expect_child(load_and_unload, RIGHT);
}

/* The workers have just been asked for, and may not have run yet. */
static void unload_at_once(void) {
    for (int cycle = 0; cycle < 20; cycle++) {
        void *library = load();
        CHECK(s.sw_set_threads(16) == SW_OK);
        matrices *m = new_matrices();
        CHECK(multiply(m) == SW_OK);
        CHECK(dlclose(library) == 0);
        expect_one_thread();
        free(m);
    }
}

static void test_library_unloads_right_after_its_use(void **state) {
    (void)state;
    expect_child(unload_at_once, RIGHT);
}

/* One that ends after the library has gone: nothing of it is called. */
static atomic_bool unloaded;
static void *multiply_and_stay(void *args) {
    matrices *m = new_matrices();
    multiply(m);
    free(m);
    atomic_store((atomic_bool *)args, true);
    while (!atomic_load(&unloaded))
        usleep(1000);
    return NULL;
}

static void thread_outlives(void) {
    void *library = load();
    pthread_t thread;
    static atomic_bool done;
    CHECK(pthread_create(&thread, NULL, multiply_and_stay, &done) == 0);
    while (!atomic_load(&done))
        usleep(1000);
    CHECK(dlclose(library) == 0);
    atomic_store(&unloaded, true);
    CHECK(pthread_join(thread, NULL) == 0);
}

static void test_thread_may_outlive_the_library(void **state) {
    (void)state;
    expect_child(thread_outlives, RIGHT);
}

static sw_status gather_slowly(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                               void *x, void *y) {
    (void)source, (void)ids, (void)draw, (void)y;
    usleep(20000);
    memset(x, 0, (size_t)count * (type == SW_F64 ? 8 : 4));
    return SW_OK;
}

/* A loader that was not freed: its thread keeps the library where it is. */
static void forget_loader(void) {
    void *library = load();
    static const sw_source source = {.size = sizeof source, .n = 100, .y_rank = -1, .gather = gather_slowly};
    sw_loader_options options = {.size = sizeof options, .prefetch = SW_PREFETCH_ON};
    sw_loader *loader = s.sw_loader_new(&source, 10, &options);
    sw_tape *tape = s.sw_tape_new();
    sw_batch batch;
    CHECK(s.sw_loader_next(loader, tape, &batch)); /* the next one is under way */
    s.sw_tape_free(tape);
    CHECK(dlclose(library) == 0);
    usleep(100000); /* the batch is ready, and the thread waits */
    CHECK(dlopen("./" TEST_BUILD "/libswale.so", RTLD_NOW | RTLD_NOLOAD));
}

static void test_forgotten_loader_keeps_the_library_loaded(void **state) {
    (void)state;
    expect_child(forget_loader, RIGHT);
}

/* ---- Exit ---- */

static void exit_beside_pool(void) {
    load();
    CHECK(s.sw_set_threads(4) == SW_OK);
    keep_busy(1);
    usleep(5000 + (useconds_t)getpid() % 7 * 1000);
}

static void exit_beside_callers(void) {
    load();
    CHECK(s.sw_set_threads(2) == SW_OK);
    keep_busy(3);
    usleep(5000 + (useconds_t)getpid() % 7 * 1000);
}

static pthread_t first_thread;

static void exit_tile(void *args, int64_t tile) {
    static atomic_flag exiting = ATOMIC_FLAG_INIT; /* C leaves it undefined if two threads call exit */
    if (tile % 2 == (args != NULL) && pthread_equal(pthread_self(), first_thread) == (args == NULL) &&
        !atomic_flag_test_and_set(&exiting))
        exit(RIGHT);
    usleep(1000);
    multiply(new_matrices());
}

static void exit_in_tile(void *by_worker) {
    load();
    first_thread = pthread_self();
    CHECK(s.sw_set_threads(4) == SW_OK);
    for (;;)
        s.sw_parallel(exit_tile, by_worker, 64);
}

static void exit_in_tile_of_caller(void) {
    exit_in_tile(NULL);
}

static void exit_in_tile_of_worker(void) {
    exit_in_tile(&first_thread);
}

static void exit_quickly(void) {
    load();
    CHECK(s.sw_set_threads(4) == SW_OK);
    keep_busy(2);
    usleep(5000);
    quick_exit(RIGHT);
}

static void train_again(void) {
    train();
}

/* The library is used in exit handlers, after its own destructor at the latest. */
static void exit_and_train(void) {
    load();
    atexit(train_again);
    train();
}

static void exit_child(void) {
    load();
    train();
    for (int i = 0; i < 4; i++) {
        if (i == 2)
            keep_busy(2);
        const pid_t child = fork();
        if (child == 0) {
            alarm(HANGS);
            if (i % 2)
                train();
            exit(RIGHT);
        }
        int result;
        CHECK(child > 0 && waitpid(child, &result, 0) == child);
        CHECK(WIFEXITED(result) && WEXITSTATUS(result) == RIGHT);
    }
}

static void test_program_exits_while_threads_compute(void **state) {
    (void)state;
    static void (*const ways[])(void) = {exit_beside_pool,       exit_beside_callers, exit_in_tile_of_caller,
                                         exit_in_tile_of_worker, exit_quickly,        exit_and_train};
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++)
        for (int round = 0; round < 10; round++)
            expect_child(ways[way], RIGHT);
}

static void test_forked_child_exits(void **state) {
    (void)state;
    expect_child(exit_child, RIGHT);
}

/* ---- OpenBLAS's choice of kernels ---- */

static void *blas;

static void take_processor_for_old(void) {
    setenv("OPENBLAS_CORETYPE", "Nehalem", 1);
    blas = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_GLOBAL);
    CHECK(blas);
    unsetenv("OPENBLAS_CORETYPE");
}

static void choose_alone(void) {
    take_processor_for_old();
    load();
    CHECK(strcmp(s.sw_blas_core(), "Nehalem") != 0);
}

static void *multiply_without_swale(void *args) {
    matrices *m = new_matrices();
    void (*sgemm)(const char *, const char *, const int *, const int *, const int *, const float *, const float *,
                  const int *, const float *, const int *, const float *, float *, const int *);
    *(void **)&sgemm = dlsym(blas, "sgemm_");
    const int n = SIZE;
    for (;;) {
        sgemm("N", "T", &n, &n, &n, &(float){1}, m->a, &n, m->a, &n, &(float){0}, m->c, &n);
        atomic_fetch_add((atomic_int *)args, 1);
    }
    return NULL;
}

static void choose_beside_products(void) {
    take_processor_for_old();
    static atomic_int products;
    pthread_t thread;
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&thread, NULL, multiply_without_swale, &products) == 0);
    while (atomic_load(&products) == 0)
        usleep(1000);
    void *library = load();
    CHECK(strcmp(s.sw_blas_core(), "Nehalem") == 0);
    const int before = atomic_load(&products);
    while (atomic_load(&products) < before + 4)
        usleep(1000);
    CHECK(dlclose(library) == 0);
    _exit(RIGHT); /* the program's own products would not survive OpenBLAS's destructor */
}

static void test_kernels_are_not_chosen_beside_other_threads(void **state) {
    (void)state;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || getenv("OPENBLAS_CORETYPE"))
        skip();
    expect_child(choose_alone, RIGHT);
    expect_child(choose_beside_products, RIGHT);
}

/* ---- Little address space ---- */

enum { BUFFER_KIB = 128 * 1024 };

/* So much more than now. */
static void limit_memory(long kib) {
    const struct rlimit limit = {(rlim_t)(memory_here("VmSize") + kib) * 1024, RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
}

static void *multiply_once(void *args) {
    matrices *m = new_matrices();
    *(sw_status *)args = multiply(m);
    free(m);
    if (*(sw_status *)args == SW_ERR_MEMORY)
        CHECK(strstr(s.sw_error(), "OpenBLAS needs 128 MiB for each thread") && strstr(s.sw_error(), "ulimit -v"));
    return NULL;
}

static void no_room_for_products(void) {
    setenv("OPENBLAS_NUM_THREADS", "1", 1); /* its own threads map buffers too, at any time */
    load();
    matrices *m = new_matrices();
    limit_memory(BUFFER_KIB - 16 * 1024);
    CHECK(multiply(m) == SW_ERR_MEMORY && s.sw_error_status() == SW_ERR_MEMORY);
    CHECK(strstr(s.sw_error(), "OpenBLAS needs 128 MiB for each thread") && strstr(s.sw_error(), "ulimit -v"));
    s.sw_clear_error();
    setrlimit(RLIMIT_AS, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
    CHECK(multiply(m) == SW_OK); /* it is tried again */
}

/* One buffer, and no second one: threads make way, and a second caller computes with it afterwards. */
static void room_for_one(void) {
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    load();
    matrices *m = new_matrices(), *wide = new_matrices();
    CHECK(s.sw_set_threads(4) == SW_OK);
    s.sw_parallel(exit_tile, &first_thread, 0);
    limit_memory(BUFFER_KIB + 64 * 1024);
    CHECK(multiply(m) == SW_OK);
    pthread_t thread;
    sw_status status = SW_ERR_STATE;
    CHECK(pthread_create(&thread, NULL, multiply_once, &status) == 0);
    pthread_join(thread, NULL);
    CHECK(status == SW_OK);
    setrlimit(RLIMIT_AS, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
    CHECK(multiply(wide) == SW_OK);
    CHECK(memcmp(m->c, wide->c, sizeof m->c) == 0);
}

/* The same while the other thread is inside: OpenBLAS is not asked for a buffer without room for it. */
static void room_for_one_beside_products(void) {
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    load();
    CHECK(s.sw_set_threads(1) == SW_OK);
    matrices *m = new_matrices(), *wide = new_matrices();
    mallopt(M_ARENA_MAX, 1); /* another one would take address space of its own */
    limit_memory(BUFFER_KIB + 64 * 1024);
    keep_busy(1);
    usleep(20000);
    for (int i = 0; i < 20; i++) {
        CHECK(multiply(m) == SW_OK);
        usleep(1000);
    }
    setrlimit(RLIMIT_AS, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
    CHECK(multiply(wide) == SW_OK);
    CHECK(memcmp(m->c, wide->c, sizeof m->c) == 0);
    _exit(RIGHT);
}

/* The threads that OpenBLAS starts when it is loaded find no room, and try for ever. Its build with OpenMP
 * does so before dlopen returns, and nothing can be done about that. */
static void no_room_for_openblas(void) {
    limit_memory(BUFFER_KIB - 16 * 1024);
    load();
    CHECK(multiply(new_matrices()) == SW_ERR_MEMORY);
}

/* Threads that have ended need none: the number of buffers is that of threads at once. */
static void many_callers_in_turn(void) {
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    load();
    CHECK(s.sw_set_threads(1) == SW_OK);
    matrices *m = new_matrices();
    CHECK(multiply(m) == SW_OK);
    for (int i = 0; i < 300; i++) {
        pthread_t thread;
        sw_status status = SW_ERR_STATE;
        CHECK(pthread_create(&thread, NULL, multiply_once, &status) == 0);
        pthread_join(thread, NULL);
        CHECK(status == SW_OK);
    }
    CHECK(memory_here("VmSize") < 6L * BUFFER_KIB);
}

/* More threads than OpenBLAS has buffers. All live until the last has multiplied; in turn, or at once. */
enum { MANY = 200 };
static struct {
    matrices *m;
    pthread_mutex_t turn;
    pthread_barrier_t barrier;
    bool in_turn;
} many = {.turn = PTHREAD_MUTEX_INITIALIZER};

static void *multiply_and_live(void *args) {
    float *c = args;
    if (!many.in_turn)
        pthread_barrier_wait(&many.barrier);
    for (int round = 0; round < 3; round++) {
        if (many.in_turn)
            pthread_mutex_lock(&many.turn);
        CHECK(s.sw_gemm(SW_F32, false, true, 64, 64, SIZE, 1, many.m->a, SIZE, many.m->a, SIZE, 0, c, 64) == SW_OK);
        if (many.in_turn)
            pthread_mutex_unlock(&many.turn);
    }
    pthread_barrier_wait(&many.barrier);
    return NULL;
}

static void many_callers_live(bool in_turn) {
    enum { STACK_KIB = 256, PRODUCT = 64 * 64 };
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    load();
    CHECK(s.sw_set_threads(1) == SW_OK);
    mallopt(M_ARENA_MAX, 1);
    many.m = new_matrices();
    many.in_turn = in_turn;
    CHECK(pthread_barrier_init(&many.barrier, NULL, MANY) == 0);
    float *c = calloc((size_t)MANY * PRODUCT, sizeof *c);
    CHECK(c);
    const long before = memory_here("VmSize");
    pthread_attr_t small;
    pthread_t thread[MANY];
    CHECK(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, STACK_KIB * 1024) == 0);
    for (int i = 0; i < MANY; i++)
        CHECK(pthread_create(&thread[i], &small, multiply_and_live, c + (size_t)i * PRODUCT) == 0);
    for (int i = 0; i < MANY; i++)
        pthread_join(thread[i], NULL);
    for (int i = 1; i < MANY; i++)
        CHECK(memcmp(c, c + (size_t)i * PRODUCT, PRODUCT * sizeof *c) == 0);
    /* One call at once needs one buffer, and a second one has room in this bound. The rest is of the threads:
     * a stack, its guard page, and what the loader gives them. */
    if (in_turn)
        CHECK(memory_here("VmSize") - before < 2L * BUFFER_KIB + MANY * 2L * STACK_KIB);
}

static void many_callers_live_in_turn(void) {
    many_callers_live(true);
}

static void many_callers_live_at_once(void) {
    many_callers_live(false);
}

static void test_little_address_space_is_an_error(void **state) {
    (void)state;
#if defined(SANITIZER) /* which maps terabytes */
    skip();
#endif
    expect_child(no_room_for_products, RIGHT);
    const char *flavor = getenv("SW_TEST_FLAVOR");
    if (!flavor || strcmp(flavor, "openmp") != 0)
        expect_child(no_room_for_openblas, RIGHT);
    expect_child(room_for_one, RIGHT);
    expect_child(room_for_one_beside_products, RIGHT);
    expect_child(many_callers_in_turn, RIGHT);
    expect_child(many_callers_live_in_turn, RIGHT);
    expect_child(many_callers_live_at_once, RIGHT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unloading_leaves_no_thread_and_no_memory),
        cmocka_unit_test(test_library_unloads_right_after_its_use),
        cmocka_unit_test(test_thread_may_outlive_the_library),
        cmocka_unit_test(test_forgotten_loader_keeps_the_library_loaded),
        cmocka_unit_test(test_program_exits_while_threads_compute),
        cmocka_unit_test(test_forked_child_exits),
        cmocka_unit_test(test_kernels_are_not_chosen_beside_other_threads),
        cmocka_unit_test(test_little_address_space_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
