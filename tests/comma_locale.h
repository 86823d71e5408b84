/* Makes a locale with a decimal comma in a temporary folder: glibc reads a locale from the file LC_NUMERIC of a folder
 * in $LOCPATH. The tests therefore need neither the package `locales` nor the program localedef. */
#ifndef SWALE_TEST_COMMA_LOCALE_H
#define SWALE_TEST_COMMA_LOCALE_H
#include "files.h"

#include <locale.h>
#include <sys/stat.h>

static char comma_folder[PATH_SIZE];

/* The file that `localedef -i de_DE -f UTF-8` writes: a magic number (of the category LC_NUMERIC), the number of
 * entries, and their offsets; decimal sign ",", thousands separator ".", groups of 3, both signs as wide characters,
 * the codes. */
static const unsigned char comma_numeric[54] = {
    0x14, 0x11, 0x03, 0x20, 6, 0,   0, 0,   32, 0, 0, 0, 34, 0,   0, 0, 36, 0,   0, 0, 40, 0,   0,   0,   44,  0,   0,
    0,    48,   0,    0,    0, ',', 0, '.', 0,  3, 3, 0, 0,  ',', 0, 0, 0,  '.', 0, 0, 0,  'U', 'T', 'F', '-', '8', 0};

/* Sets LC_NUMERIC to this locale, and checks that it has an effect. */
static inline int comma_begin(void **state) {
    const char *base = getenv("TMPDIR");
    char path[PATH_SIZE + 32], text[16];
    (void)state;
    snprintf(comma_folder, sizeof comma_folder, "%s/swale-locale-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(comma_folder))
        return -1;
    snprintf(path, sizeof path, "%s/comma", comma_folder);
    if (mkdir(path, 0700) != 0)
        return -1;
    strcat(path, "/LC_NUMERIC");
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(comma_numeric, 1, sizeof comma_numeric, f) != sizeof comma_numeric || fclose(f) != 0)
        return -1;
    setenv("LOCPATH", comma_folder, 1);
    if (!setlocale(LC_NUMERIC, "comma"))
        return -1;
    snprintf(text, sizeof text, "%g", 0.5);
    return strcmp(text, "0,5");
}

static inline int comma_end(void **state) {
    char path[PATH_SIZE + 32];
    (void)state;
    setlocale(LC_NUMERIC, "C");
    unsetenv("LOCPATH");
    snprintf(path, sizeof path, "%s/comma/LC_NUMERIC", comma_folder);
    remove(path);
    snprintf(path, sizeof path, "%s/comma", comma_folder);
    return rmdir(path) != 0 || rmdir(comma_folder) != 0;
}

#endif
