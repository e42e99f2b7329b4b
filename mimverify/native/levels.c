/* What this library was built from, and which levels the processor can run. */
#include <string.h>

#include "interface.h"

#ifndef STAMP
#error "compiler.py defines STAMP"
#endif
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

const char *mimverify_stamp(void) { return TEXT(STAMP); }

int64_t mimverify_interface(void) { return INTERFACE_VERSION; }

int mimverify_runs(const char *level) {
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    __builtin_cpu_init();
    if (!strcmp(level, "avx512"))
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (!strcmp(level, "avx2")) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return !strcmp(level, "generic");
}
