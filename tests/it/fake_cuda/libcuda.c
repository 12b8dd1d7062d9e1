// A libcuda without a GPU: device memory is host memory, and a launch runs one built-in kernel. It checks what the real
// one would only crash on: contexts, ranges, handles that are gone. Settings come from FAKE_<NAME> or fake_set.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500, CAPTURING = 900 };

// Settings.
static struct { const char *name; int value; int known; } settings[32];
static int setting(const char *name, int otherwise) {
    for (int i = 0; i < 32 && settings[i].name; ++i)
        if (!strcmp(settings[i].name, name)) return settings[i].value;
    char key[64];
    snprintf(key, sizeof key, "FAKE_%s", name);
    const char *text = getenv(key);
    return text ? atoi(text) : otherwise;
}
void fake_set(const char *name, int value) {
    for (int i = 0; i < 32; ++i) {
        if (!settings[i].name) settings[i].name = strdup(name);
        if (!strcmp(settings[i].name, name)) { settings[i].value = value; return; }
    }
}

// What happened.
static struct { int contexts, streams, modules, allocations, events, graphs, violations, launches, synced, waits; } seen;
static void violation(const char *what) {
    fprintf(stderr, "fake libcuda: %s\n", what);
    ++seen.violations;
}
int fake_get(const char *name) {
#define FIELD(field) if (!strcmp(name, #field)) return seen.field;
    FIELD(contexts) FIELD(streams) FIELD(modules) FIELD(allocations) FIELD(events) FIELD(violations) FIELD(launches)
    FIELD(synced) FIELD(waits) FIELD(graphs)
    return -1;
}

// Contexts: one primary context a device.
static char context_of[8];
static int retained[8];
static _Thread_local void *current;
static int no_context(void) { return current == 0 || !retained[(char *)current - context_of]; }
#define IN_CONTEXT if (no_context()) { violation(__func__); return INVALID_CONTEXT; }
// A call that would end a capture.
#define NOT_CAPTURED if (setting("CAPTURING", 0)) { violation(__func__); return CAPTURING; }

int cuInit(unsigned flags) { return setting("INIT", 0); }
int cuDriverGetVersion(int *version) { *version = setting("VERSION", 13000); return 0; }
int cuDeviceGetCount(int *count) { *count = setting("COUNT", 1); return 0; }
int cuDeviceGet(int *device, int index) { *device = index; return index < setting("COUNT", 1) ? 0 : 101; }
int cuDeviceGetName(char *name, int len, int device) { snprintf(name, len, "Fake GPU %d", device); return 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = 80000000000; return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    switch (attribute) {
    case 16: *value = 132; return 0;
    case 38: *value = 50 << 20; return 0;
    case 39: *value = 2048; return 0;
    case 75: *value = setting("CAPABILITY", 90) / 10; return 0;
    case 76: *value = setting("CAPABILITY", 90) % 10; return 0;
    case 81: *value = 233472; return 0;
    case 97: *value = 232448; return 0;
    case 115: *value = setting("POOLS", 1); return 0;
    }
    violation("an attribute nobody should ask for");
    return INVALID_VALUE;
}
int cuDevicePrimaryCtxRetain(void **context, int device) {
    *context = &context_of[device];
    ++retained[device];
    ++seen.contexts;
    return setting("RETAIN", 0);
}
int cuDevicePrimaryCtxRelease_v2(int device) {
    if (--retained[device] == 0 && seen.modules + seen.streams > 0 && device == 0)
        violation("a context is gone before its modules and streams");
    --seen.contexts;
    return 0;
}
int cuCtxGetCurrent(void **context) { *context = current; return 0; }
int cuCtxSetCurrent(void *context) { current = context; return 0; }
int cuCtxSynchronize(void) { return 0; }
int cuGetErrorName(int code, const char **text) { *text = "FAKE"; return 0; }
int cuGetErrorString(int code, const char **text) { *text = "fake"; return 0; }

// Streams.
int cuStreamCreate(void **stream, unsigned flags) { IN_CONTEXT ++seen.streams; *stream = malloc(1); return 0; }
int cuStreamDestroy_v2(void *stream) { --seen.streams; free(stream); return 0; }
int cuStreamSynchronize(void *stream) { IN_CONTEXT NOT_CAPTURED ++seen.synced; return setting("SYNC", 0); }
int cuStreamIsCapturing(void *stream, int *status) { IN_CONTEXT *status = setting("CAPTURING", 0); return 0; }
int cuStreamWaitEvent(void *stream, void *event, unsigned flags) { IN_CONTEXT ++seen.waits; return 0; }

// Memory.
static struct { char *start; size_t bytes; } live[256];
static int in_live(uint64_t ptr, size_t bytes) {
    for (int i = 0; i < 256; ++i) {
        char *start = live[i].start;
        if (start && (char *)ptr >= start && (char *)ptr + bytes <= start + live[i].bytes) return 1;
    }
    violation("a range that is not allocated");
    return 0;
}
static int allocate(uint64_t *ptr, size_t bytes) {
    IN_CONTEXT
    NOT_CAPTURED
    if (bytes > (size_t)setting("MEMORY", 100 << 20)) return OUT_OF_MEMORY;
    size_t room = (bytes + 511) / 256 * 256;
    for (int i = 0; i < 256; ++i)
        if (!live[i].start) {
            live[i].start = aligned_alloc(256, room);
            live[i].bytes = bytes;
            memset(live[i].start, 0xA5, room);
            *ptr = (uint64_t)live[i].start;
            ++seen.allocations;
            return 0;
        }
    return OUT_OF_MEMORY;
}
static int release(uint64_t ptr) {
    IN_CONTEXT
    NOT_CAPTURED
    for (int i = 0; i < 256; ++i)
        if (live[i].start && (uint64_t)live[i].start == ptr) {
            free(live[i].start);
            live[i].start = 0;
            --seen.allocations;
            return 0;
        }
    violation("freeing what is not allocated");
    return INVALID_VALUE;
}
int cuMemAlloc_v2(uint64_t *ptr, size_t bytes) { if (setting("POOLS", 1)) violation(__func__); return allocate(ptr, bytes); }
int cuMemFree_v2(uint64_t ptr) { if (setting("POOLS", 1)) violation(__func__); return release(ptr); }
int cuMemAllocAsync(uint64_t *ptr, size_t bytes, void *s) { if (!setting("POOLS", 1)) violation(__func__); return allocate(ptr, bytes); }
int cuMemFreeAsync(uint64_t ptr, void *s) { if (!setting("POOLS", 1)) violation(__func__); return release(ptr); }
int cuMemGetInfo_v2(size_t *left, size_t *total) { IN_CONTEXT *left = setting("MEMORY", 100 << 20); *total = 1 << 30; return 0; }
int cuMemsetD8Async(uint64_t to, unsigned char value, size_t bytes, void *stream) {
    IN_CONTEXT
    if (!in_live(to, bytes)) return 700;
    memset((char *)to, value, bytes);
    return 0;
}
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *stream) {
    IN_CONTEXT
    NOT_CAPTURED
    if (!in_live(to, bytes)) return 700;
    memcpy((char *)to, from, bytes);
    return 0;
}
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *stream) {
    IN_CONTEXT
    NOT_CAPTURED
    if (!in_live(from, bytes)) return 700;
    memcpy(to, (char *)from, bytes);
    return 0;
}
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void *stream) {
    IN_CONTEXT
    if (!in_live(from, bytes) || !in_live(to, bytes)) return 700;
    memcpy((char *)to, (char *)from, bytes);
    return 0;
}

// Modules: every one has the kernel `fill`, with 1000 bytes of shared memory of its own.
typedef struct { int loaded; } Module;
typedef struct { Module *module; int dynamic_bytes; } Function;
int cuModuleLoadData(Module **module, const void *image) {
    IN_CONTEXT
    if ((uintptr_t)image % 8) violation("an image that is not aligned");
    int status = setting("LOAD", 0);
    if (status) return status;
    *module = malloc(sizeof **module);
    (*module)->loaded = 1;
    ++seen.modules;
    return 0;
}
int cuModuleUnload(Module *module) {
    IN_CONTEXT
    if (!module->loaded) violation("a module unloaded twice");
    module->loaded = 0;
    --seen.modules;
    return 0;
}
int cuModuleGetFunction(Function **function, Module *module, const char *name) {
    IN_CONTEXT
    if (strcmp(name, "fill")) return NOT_FOUND;
    *function = malloc(sizeof **function);
    (*function)->module = module;
    (*function)->dynamic_bytes = 48 << 10;
    return 0;
}
int cuFuncGetAttribute(int *value, int attribute, Function *function) { *value = 1000; return attribute == 1 ? 0 : INVALID_VALUE; }
int cuFuncSetAttribute(Function *function, int attribute, int value) {
    if (attribute != 8 || value > 232448 - 1000) return INVALID_VALUE;
    function->dynamic_bytes = value;
    return 0;
}
typedef struct { uint64_t to; uint32_t bytes, value; } FillArgs;
typedef struct { int count; FillArgs args[8]; } Graph;
static Graph capture;
int cuLaunchKernel(Function *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **parameters, void **extra) {
    IN_CONTEXT
    if (!function->module->loaded) { violation("a kernel whose module is gone"); return INVALID_HANDLE; }
    int status = setting("LAUNCH", 0);
    if (status) return status;
    if (gx == 0 || gy == 0 || gz == 0 || bx > 1024 || by != 1 || bz != 1 || (int)shared > function->dynamic_bytes)
        return INVALID_VALUE;
    FillArgs args;
    memcpy(&args, parameters[0], sizeof args);
    if (setting("CAPTURING", 0)) {
        if (capture.count == sizeof capture.args / sizeof args) return OUT_OF_MEMORY;
        capture.args[capture.count++] = args;
        return 0;
    }
    ++seen.launches;
    return cuMemsetD8Async(args.to, args.value, args.bytes, stream);
}

// Graphs.
int cuStreamBeginCapture_v2(void *stream, int mode) {
    IN_CONTEXT
    NOT_CAPTURED
    capture.count = 0;
    fake_set("CAPTURING", 1);
    return mode == 1 ? 0 : INVALID_VALUE;
}
static int copy_graph(Graph **to, const Graph *from) {
    *to = malloc(sizeof **to);
    **to = *from;
    ++seen.graphs;
    return 0;
}
int cuStreamEndCapture(void *stream, Graph **graph) {
    IN_CONTEXT
    if (!setting("CAPTURING", 0)) { violation("ending no capture"); return INVALID_VALUE; }
    fake_set("CAPTURING", 0);
    return copy_graph(graph, &capture);
}
int cuGraphInstantiateWithFlags(Graph **executable, Graph *graph, unsigned long long flags) {
    IN_CONTEXT
    return copy_graph(executable, graph);
}
int cuGraphLaunch(Graph *executable, void *stream) {
    IN_CONTEXT
    NOT_CAPTURED
    for (int i = 0; i < executable->count; ++i) {
        FillArgs args = executable->args[i];
        ++seen.launches;
        cuMemsetD8Async(args.to, args.value, args.bytes, stream);
    }
    return 0;
}
int cuGraphExecDestroy(Graph *executable) { IN_CONTEXT --seen.graphs; free(executable); return 0; }
int cuGraphDestroy(Graph *graph) { IN_CONTEXT --seen.graphs; free(graph); return 0; }

// Events.
int cuEventCreate(void **event, unsigned flags) { IN_CONTEXT ++seen.events; *event = calloc(1, 1); return 0; }
int cuEventRecord(char *event, void *stream) { IN_CONTEXT *event = 1; return 0; }
int cuEventSynchronize(char *event) { IN_CONTEXT return *event ? 0 : INVALID_HANDLE; }
int cuEventElapsedTime(float *milliseconds, char *a, char *b) { *milliseconds = 1.5f; return *a && *b ? 0 : INVALID_HANDLE; }
int cuEventDestroy_v2(char *event) { --seen.events; free(event); return 0; }
