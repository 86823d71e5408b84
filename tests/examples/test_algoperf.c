/* examples/algoperf_score: the rules of examples/algoperf.h with numbers computed by hand, its file formats, and, where
 * the logs of the benchmark are beside the project, the published leaderboards. */
#include "run.h"

#include "support.h"

#include "../../examples/algoperf.h"
#include "../../examples/csv_text.h"

#define SCORE TEST_BUILD "/examples/algoperf_score"

static const double inf = INFINITY;

/* ---- Times ---- */

static void trial_with_the_fewest_evaluations_counts(void **state) {
    (void)state;
    const algoperf_trial t[] = {{0, 0, 7, 5, 500}, /* study 7 */
                                {0, 0, 7, 3, 450}, /* fewest, although not fastest */
                                {0, 0, 7, 4, 400},
                                {0, 0, 7, 3, 430}, /* as few, but later in the list */
                                {0, 0, 7, INFINITY, INFINITY},
                                {1, 0, 7, 1, 10}, /* other cells */
                                {0, 1, 7, 1, 20}};
    assert_true(algoperf_cell(t, 7, 0, 0) == 450);
    assert_true(algoperf_cell(t, 7, 1, 0) == 10);
    assert_true(algoperf_cell(t, 7, 0, 1) == 20);
}

static void time_is_the_median_of_the_studies(void **state) {
    (void)state;
    const algoperf_trial t[] = {{0, 0, 1, 9, 90}, {0, 0, 2, inf, inf}, {0, 0, 3, 5, 50},
                                {0, 0, 4, 7, 70}, {0, 0, 5, inf, inf}, {0, 0, 6, inf, inf}};
    assert_true(algoperf_cell(t, 1, 0, 0) == 90);
    assert_true(algoperf_cell(t, 3, 0, 0) == 90); /* 50, 90, inf */
    assert_true(algoperf_cell(t, 4, 0, 0) == 80); /* 50, 70, 90, inf: the mean of the middle two */
    assert_true(algoperf_cell(t, 5, 0, 0) == 90);
    assert_true(algoperf_cell(t, 6, 0, 0) == inf); /* the mean of 90 and inf */
    assert_true(isnan(algoperf_cell(t, 6, 1, 0))); /* no study */
}

/* ---- Ratios and scores ---- */

/* Three submissions, two workloads, and a variant of the first workload. */
static algoperf small_table(const double time[3][3]) {
    static algoperf a;
    memset(&a, 0, sizeof a);
    a.submissions = a.workloads = 3;
    a.base[0] = a.base[1] = -1;
    for (int s = 0; s < 3; s++)
        for (int w = 0; w < 3; w++)
            a.time[s][w] = time[s][w];
    algoperf_score(&a);
    return a;
}

static void times_above_four_times_the_fastest_do_not_count(void **state) {
    (void)state;
    const algoperf a = small_table((const double[3][3]){{10, 30, 1}, {40, 10, 1}, {40.001, NAN, 1}});
    assert_true(a.ratio[0][0] == 1 && a.ratio[0][1] == 3);
    assert_true(a.ratio[1][0] == 4 && a.ratio[1][1] == 1);
    assert_true(a.ratio[2][0] == inf && a.ratio[2][1] == inf);
    assert_false(a.vetoed[2][0] || a.vetoed[2][1]);
    /* (4 - ratio)/3 over two workloads */
    assert_true(fabs(a.area[0] - (1 + 1.0 / 3) / 2) < 1e-15 && fabs(a.area[1] - 0.5) < 1e-15 && a.area[2] == 0);
}

static void unsolved_variant_vetoes_its_workload(void **state) {
    (void)state;
    /* Submission 0 would be the fastest, but needs more than 4 times as long on the variant; 2 has no run of it. */
    const algoperf a = small_table((const double[3][3]){{10, 10, 81}, {12, 10, 20}, {15, 10, NAN}});
    assert_true(a.ratio[0][0] == inf && a.vetoed[0][0]);
    assert_true(a.ratio[2][0] == inf && a.vetoed[2][0]);
    assert_true(a.ratio[1][0] == 1); /* the record is that of the times that are left */
    assert_true(a.ratio[0][1] == 1 && a.ratio[1][1] == 1 && a.ratio[2][1] == 1);
}

static void variant_of_an_unsolved_workload_sets_no_record(void **state) {
    (void)state;
    /* Submission 0 has not solved the workload: with its 2 on the variant as the record, 1 would be vetoed. */
    const algoperf a = small_table((const double[3][3]){{INFINITY, 10, 2}, {12, 10, 20}, {24, 10, 30}});
    assert_true(a.ratio[1][0] == 1 && a.ratio[2][0] == 2 && !a.vetoed[1][0]);
    /* The order matters the other way round too: times that are too slow on the workload still set records of the
     * variant. */
    const algoperf b = small_table((const double[3][3]){{100, 10, 2}, {12, 10, 20}, {24, 10, 30}});
    assert_true(b.ratio[1][0] == inf && b.vetoed[1][0] && b.vetoed[2][0] && !b.vetoed[0][0]);
}

/* A profile that rises to 1 at r: the trapezoid rule with 100 points counts the points from r on, the last one half.
 * The points are 1 + i/33. */
static void score_is_the_trapezoid_rule(void **state) {
    (void)state;
    const algoperf a = small_table((const double[3][3]){{10, 10, 1}, {20.1, 20.1, 1}, {10, 40, 1}});
    assert_true(fabs(a.grid[0] - 1) < 1e-14 && fabs(a.area[0] - 1) < 1e-14);
    /* 2.01: from i = 34 on, 66 points */
    assert_true(fabs(a.grid[1] - 65.5 / 99) < 1e-14 && fabs(a.area[1] - 1.99 / 3) < 1e-14);
    /* Half of the workloads at 1, which is the fastest time of two; the other half at 4, where half a point counts. */
    assert_true(fabs(a.grid[2] - (0.5 + 0.25 / 99)) < 1e-14 && fabs(a.area[2] - 0.5) < 1e-14);
    /* A workload that nobody solves costs everybody its part. */
    const algoperf b = small_table((const double[3][3]){{10, INFINITY, 1}, {10, INFINITY, 1}, {10, NAN, 1}});
    for (int s = 0; s < 3; s++)
        assert_true(fabs(b.grid[s] - 0.5) < 1e-14);
}

/* ---- Files ---- */

static void write_file(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static const char workloads_text[] = "workload,role,base_workload\nlarge,base,\nsmall,base,\n"
                                     "small_wide,held_out,small\nsmall_deep,unsampled,small\n";
static const char times_text[] =
    "\"submission\",workload,study,seconds,evals,note\r\n"
    "\"a, b\",large,1,10,5,\"says \"\"fast\"\"\"\r\n\"a, b\",small,1,20,5,\r\n\"a, b\",small_wide,1,20,5,\r\n\r\n"
    "c,large,1,20,5,\r\nc,large,1,1,0,\r\nc,small,1,30,5,\r\nc,small_wide,1,90,5,\r\nc,small_deep,1,1,5,\r\n";

/* c has the ratio 2 on `large`, where its trial without a log is left out, and a veto on `small`. The grid has a point
 * at 2 (1 + 33/33): it counts from i = 33 or 34 on, depending on rounding. */
static void files_are_scored(void **state) {
    (void)state;
    const char *times = lasting_path("times.csv"), *workloads = lasting_path("workloads.csv"),
               *picture = lasting_path("a.png"), *table = lasting_path("table.csv");
    char text[1024];
    write_file(times, times_text);
    write_file(workloads, workloads_text);
    output o = RUN(SCORE, "--times", times, "--workloads", workloads, "--out", picture, "--table", table);
    assert_int_equal(o.code, 0);
    assert_string_equal(o.err, "");
    assert_true(result(&o, "workloads") == 2);
    assert_non_null(strstr(o.out, "\nscore_a, b 1.0000\nscore_c 0.3"));
    assert_true(fabs(result(&o, "score_c") - 0.5 * 66 / 99) < 0.5 / 99);
    assert_true(fabs(result(&o, "area_c") - 1.0 / 3) < 1e-4);
    assert_true(result(&o, "solved_c") == 1 && result(&o, "vetoed_c") == 1);
    read_all(table, text, sizeof text);
    assert_string_equal(text, "submission,workload,seconds,ratio,vetoed\n\"a, b\",\"large\",10,1,0\n"
                              "\"a, b\",\"small\",20,1,0\n\"a, b\",\"small_wide\",20,nan,0\n\"c\",\"large\",20,2,0\n"
                              "\"c\",\"small\",30,inf,1\n\"c\",\"small_wide\",90,nan,0\n");
    /* Without the roles each workload counts; without its competitor, c is the fastest on each. */
    o = RUN(SCORE, "--times", times, "--without", "a, b", "--out", picture);
    assert_int_equal(o.code, 0);
    assert_true(result(&o, "workloads") == 4 && result(&o, "score_c") == 1);
    unlink(times), unlink(workloads), unlink(picture), unlink(table), unlink(in_folder("a.csv"));
}

/* A trial that has not reached the target may have nan as the number of its evaluations. */
static void trials_without_a_number_of_evaluations_come_last(void **state) {
    (void)state;
    const char *times = lasting_path("times.csv"), *picture = lasting_path("a.png"), *table = lasting_path("table.csv");
    char text[256];
    write_file(times, "submission,workload,study,seconds,eval_index_at_target\n"
                      "a,w,1,inf,nan\na,w,1,30,3\na,w,1,20,5\na,v,1,inf,nan\n");
    output o = RUN(SCORE, "--times", times, "--out", picture, "--table", table);
    assert_int_equal(o.code, 0);
    read_all(table, text, sizeof text);
    assert_string_equal(text, "submission,workload,seconds,ratio,vetoed\n\"a\",\"w\",30,1,0\n\"a\",\"v\",inf,inf,0\n");
    unlink(times), unlink(picture), unlink(table), unlink(in_folder("a.csv"));
}

static void expect_refused(const char *times, const char *workloads, const char *message) {
    const char *one = lasting_path("times.csv"), *two = lasting_path("workloads.csv"), *picture = lasting_path("a.png");
    write_file(one, times);
    write_file(two, workloads ? workloads : workloads_text);
    output o = workloads ? RUN(SCORE, "--times", one, "--workloads", two, "--out", picture)
                         : RUN(SCORE, "--times", one, "--out", picture);
    if (o.code != 1 || !strstr(o.err, message))
        fail_msg("expected \"%s\", got exit %d: %s", message, o.code, o.err);
    assert_string_equal(o.out, "");
    assert_int_equal(access(picture, F_OK), -1);
    unlink(one), unlink(two);
}

static void mistakes_in_files_are_named(void **state) {
    (void)state;
    expect_refused("", NULL, "times.csv: ");
    expect_refused("submission,workload,seconds\n", NULL, "the file has no rows");
    expect_refused("submission,seconds\na,1\n", NULL, "there is no column workload");
    expect_refused("submission,workload\na,b\n", NULL, "there is no column seconds_to_target");
    expect_refused("submission,workload,seconds\na,b,1\na,b\n", NULL, "line 3 has 2 fields, the first line has 3");
    expect_refused("submission,workload,seconds\na,b,1s\n", NULL, "row 1, column seconds: '1s' is not a number");
    expect_refused("submission,workload,seconds\na,b,0\n", NULL, "row 1: a time must be above 0, but it is 0");
    expect_refused("ruleset,submission,workload,seconds\nx,a,b,1\ny,a,b,1\n", NULL,
                   "the rows differ in the column ruleset, x and y: --ruleset is needed");
    expect_refused(times_text, "workload,role\nlarge,none\n", "no row has the role base");
    expect_refused(times_text, "workload,role,base_workload\nlarge,base,\nwide,held_out,tall\n",
                   "row 2: base_workload must be the name of a workload with the role base");
    expect_refused(times_text, "benchmark,workload,role\n1,large,base\n2,large,base\n", "--benchmark is needed");
    expect_refused("submission,workload,study,seconds\na,b,1.5,1\n", NULL,
                   "row 1, column study: '1.5' is not an integer");
    expect_refused("submission,workload,study,seconds\na,b,inf,1\n", NULL,
                   "row 1, column study: 'inf' is not an integer");
    output o = RUN(SCORE, "--workloads", "LICENSE");
    assert_int_equal(o.code, 2);
    assert_string_equal(o.err, "algoperf_score: --workloads needs --times\n");
}

static void options_without_an_effect_are_refused(void **state) {
    (void)state;
    const char *times = lasting_path("times.csv"), *workloads = lasting_path("workloads.csv"),
               *picture = lasting_path("a.png");
    write_file(times, times_text);
    write_file(workloads, workloads_text);
    output o = RUN(SCORE, "--without", "nobody", "--out", picture);
    assert_int_equal(o.code, 1);
    assert_string_equal(o.err, "algoperf_score: --without nobody: the made-up table has no submission of this name\n");
    o = RUN(SCORE, "--times", times, "--without", "a,b", "--out", picture);
    assert_int_equal(o.code, 1);
    assert_non_null(strstr(o.err, "times.csv has no submission of this name"));
    o = RUN(SCORE, "--times", times, "--workloads", workloads, "--benchmark", "x", "--out", picture);
    assert_int_equal(o.code, 1);
    assert_non_null(strstr(o.err, "workloads.csv: there is no column benchmark"));
    assert_int_equal(access(picture, F_OK), -1);
    o = RUN(SCORE, "--times", times, "--benchmark", "x");
    assert_int_equal(o.code, 2);
    assert_string_equal(o.err, "algoperf_score: --benchmark needs --workloads\n");
    o = RUN(SCORE, "--ruleset", "x");
    assert_int_equal(o.code, 2);
    assert_string_equal(o.err, "algoperf_score: --ruleset needs --times\n");
    unlink(times), unlink(workloads);
}

/* Names with quotes are in the tables as in the input. */
static void quotes_in_names_are_doubled(void **state) {
    (void)state;
    const char *times = lasting_path("times.csv"), *picture = lasting_path("a.png"), *table = lasting_path("table.csv"),
               *curves = lasting_path("a.csv");
    char text[2048];
    write_file(times, "submission,workload,seconds\n\"a \"\"b\"\"\",\"w\"\"\",1\n");
    output o = RUN(SCORE, "--times", times, "--out", picture, "--table", table);
    assert_int_equal(o.code, 0);
    read_all(table, text, sizeof text);
    assert_string_equal(text, "submission,workload,seconds,ratio,vetoed\n\"a \"\"b\"\"\",\"w\"\"\",1,1,0\n");
    read_all(curves, text, sizeof text);
    assert_non_null(strstr(text, "\n\"a \"\"b\"\"\",1,1\n"));
    unlink(times), unlink(picture), unlink(table), unlink(curves);
}

/* Each allocation fails in turn. */
static void table_survives_failing_allocations(void **state) {
    (void)state;
    const char *path = lasting_path("times.csv");
    test_allocator a;
    write_file(path, times_text);
    test_allocator_install(&a);
    for (long long k = 1, done = 0; !done; k++) {
        csv_text t;
        test_allocator_fail(&a, k, k % 2 == 0);
        const sw_status status = csv_text_load(&t, path);
        done = atomic_load(&a.failed) == 0;
        assert_true((status == SW_OK) == done && (status == SW_OK || status == SW_ERR_MEMORY));
        csv_text_free(&t);
        assert_int_equal(atomic_load(&a.live), 0);
        sw_clear_error();
    }
    sw_set_allocator(NULL);
    unlink(path);
}

/* ---- The published leaderboards ---- */

typedef struct published {
    const char *name;
    double score;
} published;
static const published external[] = {{"score_shampoo_submission", 0.7784},
                                     {"score_schedule_free_adamw", 0.7077},
                                     {"score_generalized_adam", 0.6383},
                                     {"score_cyclic_lr", 0.6301},
                                     {"score_nadamp", 0.5909},
                                     {"score_baseline", 0.5707},
                                     {"score_amos", 0.4918},
                                     {"score_caspr_adaptive", 0.4722},
                                     {"score_lawa_queue", 0.3699},
                                     {"score_lawa_ema", 0.3384},
                                     {"score_schedule_free_prodigy", 0},
                                     {NULL, 0}};
static const published self_tuning[] = {{"score_schedule_free_adamw", 0.8542},
                                        {"score_baseline", 0.8194},
                                        {"score_nadamw_sequential", 0.3308},
                                        {"score_sinv6_75", 0.1420},
                                        {"score_sinv6", 0.0903},
                                        {"score_adamg", 0},
                                        {NULL, 0}};
static const published of_2026[] = {{"score_schedule_free_adamw_v2", 0.5679},
                                    {"score_ademamix", 0.5067},
                                    {"score_schedule_free_adamw", 0.4669},
                                    {"score_nadamw_baselinev05", 0.4360},
                                    {"score_schedule_free_adamw_jax_v2", 0.4293},
                                    {"score_muon_torch", 0.4119},
                                    {"score_schedule_free_adamw_jax", 0.4012},
                                    {"score_nadamw", 0.3653},
                                    {"score_muon_torch_jax_hps_lr_fix", 0.3025},
                                    {"score_cautious_nadamw", 0.2952},
                                    {"score_muon", 0.2699},
                                    {"score_lion", 0.2626},
                                    {"score_muon_torch_jax_hps_achandr", 0.2149},
                                    {"score_nadamw_resnet", 0.1700},
                                    {"score_single_worker_diloco", 0.1167},
                                    {"score_muon_torch_jax_hps", 0},
                                    {NULL, 0}};

#define LOGS "../shared/data/algoperf/"

/* Runs the program with these options, and compares all scores with a published list, to its four decimals. */
static output expect_board(const published *list, const char *times, const char *board, const char *option,
                           const char *value) {
    const char *picture = lasting_path("a.png");
    output o = RUN(SCORE, "--times", times, "--workloads", LOGS "workloads.csv", "--benchmark", board, "--out", picture,
                   option, value);
    if (o.code != 0)
        fail_msg("exit %d: %s", o.code, o.err);
    for (const published *p = list; p->name; p++)
        if (!(fabs(result(&o, p->name) - p->score) < 5e-5)) /* the program prints four decimals, too */
            fail_msg("%s %.4f instead of %.4f", p->name, result(&o, p->name), p->score);
    unlink(picture), unlink(in_folder("a.csv"));
    return o;
}

static void published_boards_are_reproduced(void **state) {
    (void)state;
    if (access(LOGS "algoperf_v05.csv", R_OK) != 0)
        skip();
    output o = expect_board(external, LOGS "algoperf_v05.csv", "v0.5", "--ruleset", "external");
    /* The exact area of the winner, computed from the same table by NumPy. */
    assert_true(fabs(result(&o, "area_shampoo_submission") - 0.7785) < 5e-5);
    assert_true(result(&o, "vetoed_schedule_free_prodigy") == 1 && result(&o, "solved_schedule_free_prodigy") == 0);
    expect_board(self_tuning, LOGS "algoperf_v05.csv", "v0.5", "--ruleset", "self");
    expect_board(of_2026, LOGS "algoperf_2026.csv", "2026", "--seed", "1");
    /* The text of the rules says that the fastest trial of a study counts: that changes one of the scores. */
    const published by_text[] = {{"score_lawa_ema", 0.3434}, {"score_shampoo_submission", 0.7784}, {NULL, 0}};
    const char *picture = lasting_path("a.png");
    o = RUN(SCORE, "--times", LOGS "algoperf_v05.csv", "--workloads", LOGS "workloads.csv", "--benchmark", "v0.5",
            "--ruleset", "external", "--fastest", "--out", picture);
    for (const published *p = by_text; p->name; p++)
        assert_true(fabs(result(&o, p->name) - p->score) < 5e-5);
    unlink(picture), unlink(in_folder("a.csv"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trial_with_the_fewest_evaluations_counts),
        cmocka_unit_test(time_is_the_median_of_the_studies),
        cmocka_unit_test(times_above_four_times_the_fastest_do_not_count),
        cmocka_unit_test(unsolved_variant_vetoes_its_workload),
        cmocka_unit_test(variant_of_an_unsolved_workload_sets_no_record),
        cmocka_unit_test(score_is_the_trapezoid_rule),
        cmocka_unit_test(files_are_scored),
        cmocka_unit_test(trials_without_a_number_of_evaluations_come_last),
        cmocka_unit_test(mistakes_in_files_are_named),
        cmocka_unit_test(options_without_an_effect_are_refused),
        cmocka_unit_test(quotes_in_names_are_doubled),
        cmocka_unit_test(table_survives_failing_allocations),
        cmocka_unit_test(published_boards_are_reproduced),
    };
    return cmocka_run_group_tests_name("algoperf", tests, run_setup, run_teardown);
}
