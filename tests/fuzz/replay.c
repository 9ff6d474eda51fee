/* The main of fuzz targets in normal builds: feeds every file of the corpus folder given as argument to the target. */
#include "base/file.h"

#include <dirent.h>
#include <stdio.h>

#define INPUT_MAX_BYTES (16 * MIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
    AUTO_BUF struct buf input = BUF_MAX(INPUT_MAX_BYTES);
    AUTO_ERROR struct error err = { 0 };
    AUTO_FREE char *exact = NULL;

    if (file_read(path, &input, &err) < 0) {
        fprintf(stderr, "%s\n", error_text(&err));
        return -1;
    }
    fprintf(stderr, "%s\n", path); /* so that a crash names its input */
    /* A block of exactly this size, without a zero byte behind it: reading past the end is seen. */
    exact = xmalloc(input.n);
    if (input.n)
        memcpy(exact, input.p, input.n);
    return LLVMFuzzerTestOneInput((const uint8_t *)exact, input.n) == 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct dirent *entry;
    int failed = 0, count = 0;
    DIR *folder;

    if (argc != 2 || !(folder = opendir(argv[1]))) {
        fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
        return 2;
    }
    while ((entry = readdir(folder))) {
        AUTO_FREE char *path = xasprintf("%s/%s", argv[1], entry->d_name);

        if (entry->d_name[0] == '.')
            continue;
        count++;
        failed += replay(path) < 0;
    }
    closedir(folder);
    if (count == 0) {
        fprintf(stderr, "no inputs in '%s'\n", argv[1]);
        failed++;
    }
    printf("test result: %d passed, %d failed\n", count > failed ? 1 : 0, failed); /* read by scripts/test */
    return failed ? 1 : 0;
}
