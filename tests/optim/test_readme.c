/* optim/README.md agrees with the tables: the rules with summary, source and state, and the names of all other methods.
 * README.md has the number of rules. optim/README.md quotes references exactly as they are in rules/references.h. */
#include "helpers.h"

static char readme[1 << 17], front[1 << 17], references[1 << 17];

static int read_text(const char *path, char *text, size_t size) {
    FILE *f = fopen(path, "rb"); /* tests run in the top folder */
    if (!f)
        return -1;
    const size_t length = fread(text, 1, size - 1, f);
    fclose(f);
    text[length] = 0;
    return length > 0 && length < size - 1 ? 0 : -1;
}

static int read_texts(void **state) {
    (void)state;
    return read_text("optim/README.md", readme, sizeof readme) || read_text("README.md", front, sizeof front) ||
           read_text("tests/optim/rules/references.h", references, sizeof references);
}

/* Bytes a parameter in f32, with the default options; a number for each row or tensor counts as none. */
static double state_bytes(const sw_rule *rule) {
    sw_params *p = sw_params_new(SW_F32, 1);
    assert_non_null(sw_params_add(p, "matrix", 2, (const int64_t[]){256, 256}, NULL));
    assert_ok(sw_params_build(p));
    sw_optim *o = NEW_OPTIM(p, .rule = rule->name);
    const double bytes = (double)sw_optim_bytes(o).rule / (double)sw_params_dim(p);
    assert_true(bytes - floor(bytes) < 0.1);
    sw_optim_free(o);
    sw_params_free(p);
    return floor(bytes);
}

/* One line for each rule, in the order of the registry, and no other line. */
static void test_table_of_rules(void **state) {
    (void)state;
    const char head[] = "| rule | is | from | state |\n|---|---|---|---|\n";
    const sw_rule *rule;
    const char *at = strstr(readme, head);
    assert_non_null(at);
    at += strlen(head);
    for (int i = 0; (rule = sw_rule_at(i)) != NULL; i++) {
        char line[500];
        const int length = snprintf(line, sizeof line, "| `%s` | %s | %s | %g |\n", rule->name, rule->summary,
                                    rule->source, state_bytes(rule));
        if (strncmp(at, line, (size_t)length) != 0)
            fail_msg("optim/README.md: line %d of the table of rules should be\n%s", i + 1, line);
        at += length;
    }
    if (*at != '\n')
        fail_msg("optim/README.md: the table of rules has a line that is no rule:\n%.80s", at);
}

static void test_number_of_rules(void **state) {
    (void)state;
    char count[32];
    int rules = 0;
    while (sw_rule_at(rules))
        rules++;
    snprintf(count, sizeof count, "; %d rules ", rules);
    if (!strstr(front, count))
        fail_msg("README.md, the line of optim: there are %d rules", rules);
}

/* As a word in backticks, alone or followed by options. */
static void is_in_readme(const char *kind, const char *name) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "`%s", name);
    for (const char *at = readme; (at = strstr(at, quoted)) != NULL; at++)
        if (strchr(" `", at[strlen(quoted)]))
            return;
    fail_msg("optim/README.md does not name the %s %s: add it to its table", kind, name);
}

static void test_every_method_is_there(void **state) {
    (void)state;
    for (int i = 0; sw_estimator_at(i); i++)
        is_in_readme("estimator", sw_estimator_at(i)->name);
    for (int i = 0; sw_schedule_at(i); i++)
        is_in_readme("schedule", sw_schedule_at(i)->name);
    for (int i = 0; sw_line_search_at(i); i++)
        is_in_readme("line search", sw_line_search_at(i)->name);
    for (int i = 0; sw_average_at(i); i++)
        is_in_readme("average", sw_average_at(i)->name);
}

static void test_quotes(void **state) {
    (void)state;
    char *at = strstr(readme, "## Rules in plain C\n");
    assert_non_null(at);
    char *end = strstr(at, "\n## ");
    assert_non_null(end);
    int quotes = 0;
    for (; (at = strstr(at, "```c\n")) != NULL && at < end; quotes++) {
        char *quote = at + strlen("```c\n");
        at = strstr(quote, "```");
        assert_non_null(at);
        *at = 0;
        if (!strstr(references, quote))
            fail_msg("optim/README.md quotes what is not in tests/optim/rules/references.h:\n%s", quote);
        *at = '`';
        at += 3;
    }
    assert_true(quotes >= 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_table_of_rules, test_clear),
        cmocka_unit_test_teardown(test_number_of_rules, test_clear),
        cmocka_unit_test_teardown(test_every_method_is_there, test_clear),
        cmocka_unit_test_teardown(test_quotes, test_clear),
    };
    return cmocka_run_group_tests_name("readme of optim", tests, read_texts, NULL);
}
