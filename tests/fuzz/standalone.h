/* The main of a harness that is run on files, without libFuzzer: each file whole, and cut at some CUTS places. */
#ifdef STANDALONE
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (!file) return 2;
        fseek(file, 0, SEEK_END);
        long size = ftell(file);
        rewind(file);
        uint8_t *data = malloc(size ? (size_t)size : 1);
        if (!data || fread(data, 1, (size_t)size, file) != (size_t)size) return 2;
        fclose(file);
        for (long cut = 0; cut <= size; cut += 1 + size / CUTS) LLVMFuzzerTestOneInput(data, (size_t)cut);
        LLVMFuzzerTestOneInput(data, (size_t)size);
        free(data);
    }
    return 0;
}
#endif
