// The instructions of sm_90a that CUDA C++ has no name for: barriers that count bytes, bulk copies, wgmma.
#pragma once

#include "ptx.cuh"

// ---- mbarriers. An address is that of 8 bytes of shared memory; phase p of a barrier has parity p % 2.

// A barrier whose phase ends when `arrivals` have arrived and all expected bytes have come.
__device__ __forceinline__ void mbarrier_init(uint32_t barrier, uint32_t arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

// Makes the inits of this thread visible to bulk copies; the block meets afterwards.
__device__ __forceinline__ void fence_mbarrier_init() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void mbarrier_arrive(uint32_t barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

// Arrives, and lets the phase wait for `bytes` bytes of bulk copies.
__device__ __forceinline__ void mbarrier_arrive_expect(uint32_t barrier, uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

// One of the arrivals that `mbarrier_init` counted, once this thread's cp.async so far have come.
__device__ __forceinline__ void cp_async_arrive(uint32_t barrier) {
    asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(barrier) : "memory");
}

// Waits for the end of the phase of this parity.
__device__ __forceinline__ void mbarrier_wait(uint32_t barrier, uint32_t parity) {
    uint32_t done = 0;
    while (!done) {
        asm volatile("{\n"
                     ".reg .pred done;\n"
                     "mbarrier.try_wait.parity.shared::cta.b64 done, [%1], %2;\n"
                     "selp.u32 %0, 1, 0, done;\n"
                     "}"
                     : "=r"(done)
                     : "r"(barrier), "r"(parity)
                     : "memory");
    }
}

// ---- Copies and what orders them.

// Copies `bytes` bytes, a multiple of 16 at multiples of 16, from global to shared memory, and counts them at `barrier`.
__device__ __forceinline__ void bulk_copy(uint32_t to, const void *from, uint32_t bytes, uint32_t barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
                 "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(barrier)
                 : "memory");
}

// 2 bytes of shared memory, widened.
__device__ __forceinline__ uint32_t load_shared_2(uint32_t from) {
    uint16_t value;
    asm volatile("ld.shared.u16 %0, [%1];" : "=h"(value) : "r"(from) : "memory");
    return value;
}

// What this thread wrote to shared memory is seen by wgmma and bulk copies that come after.
__device__ __forceinline__ void fence_proxy_async() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// Barrier `id` (1 to 15) of `threads` threads, whole warps of the block.
__device__ __forceinline__ void named_barrier(uint32_t id, uint32_t threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// The registers of each thread of a warpgroup from here on, a multiple of 8: more than it was launched with, or fewer.
template <int kRegisters>
__device__ __forceinline__ void take_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void give_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// ---- wgmma: d[64, n] += a[64, k] * b[n, k]ᵀ, done by a warpgroup. d, and a where it is in registers, are not touched between
// `wgmma_fence` and the `wgmma_wait` that ends the group they are in.

__device__ __forceinline__ void wgmma_fence() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ __forceinline__ void wgmma_commit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

// Waits until at most `kPending` groups are under way.
template <int kPending>
__device__ __forceinline__ void wgmma_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// Holds the compiler back from moving what computes or uses these registers across this place.
template <int kCount>
__device__ __forceinline__ void pin(float (&values)[kCount]) {
    #pragma unroll
    for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(values[i])::"memory");
}
template <int kCount>
__device__ __forceinline__ void pin(int32_t (&values)[kCount]) {
    #pragma unroll
    for (int i = 0; i < kCount; ++i) asm volatile("" : "+r"(values[i])::"memory");
}
template <int kCount>
__device__ __forceinline__ void pin(uint32_t (&values)[kCount]) {
    #pragma unroll
    for (int i = 0; i < kCount; ++i) asm volatile("" : "+r"(values[i])::"memory");
}

// A tile in shared memory with K along rows of 128 bytes, its chunks of 16 permuted: chunk c of row r at c ^ (r % 8). Eight rows
// are 1024 bytes, at a multiple of 1024; the next eight follow. A step along K of `bytes` (32: k16 of 16-bit, k32 of 8-bit
// values) adds bytes / 16. PTX ISA, "Matrix descriptor format": address, stride of eight rows, 128-byte swizzle.
__device__ __forceinline__ uint64_t swizzled_tile(uint32_t address) {
    return static_cast<uint64_t>(address >> 4 & 0x3fff) | uint64_t{1} << 16 | uint64_t{1024 >> 4} << 32 | uint64_t{1} << 62;
}

// The registers of d and their operands: "%0, .." and "+f"(d[0]), ..
#define REGISTERS_8 \
    "%0, %1, %2, %3, %4, %5, %6, %7"
#define REGISTERS_16 REGISTERS_8 \
    ", %8, %9, %10, %11, %12, %13, %14, %15"
#define REGISTERS_32 REGISTERS_16 \
    ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define REGISTERS_64 REGISTERS_32 \
    ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47" \
    ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define REGISTERS_96 REGISTERS_64 \
    ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79" \
    ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define REGISTERS_128 REGISTERS_96 \
    ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111" \
    ", %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define OPERANDS_8(constraint, d, i)                                                                            \
    constraint(d[i]), constraint(d[i + 1]), constraint(d[i + 2]), constraint(d[i + 3]), constraint(d[i + 4]), \
        constraint(d[i + 5]), constraint(d[i + 6]), constraint(d[i + 7])
#define OPERANDS_16(constraint, d, i) OPERANDS_8(constraint, d, i), OPERANDS_8(constraint, d, i + 8)
#define OPERANDS_32(constraint, d, i) OPERANDS_16(constraint, d, i), OPERANDS_16(constraint, d, i + 16)
#define OPERANDS_64(constraint, d, i) OPERANDS_32(constraint, d, i), OPERANDS_32(constraint, d, i + 32)
#define OPERANDS_96(constraint, d, i) OPERANDS_64(constraint, d, i), OPERANDS_32(constraint, d, i + 64)
#define OPERANDS_128(constraint, d, i) OPERANDS_64(constraint, d, i), OPERANDS_64(constraint, d, i + 64)

// m64nNk16, a in registers: of a warp, its 16 rows as mma.m16n8k16 has them. d = a * b where `add` is 0.
template <typename T, int kN>
__device__ __forceinline__ void wgmma_registers(float (&d)[kN / 2], const uint32_t (&a)[4], uint64_t b, uint32_t add);

#define WGMMA_F32(n, T, type, count, a0, a1, a2, a3, b0, add0)                                                                \
    template <>                                                                                                               \
    __device__ __forceinline__ void wgmma_registers<T, n>(float(&d)[count], const uint32_t(&a)[4], uint64_t b, uint32_t add) { \
        asm volatile("{\n.reg .pred add;\nsetp.ne.u32 add, %" add0 ", 0;\n"                                                    \
                     "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." type "." type " {" REGISTERS_##count "}, {%" a0 ", %" a1 \
                     ", %" a2 ", %" a3 "}, %" b0 ", add, 1, 1, 0;\n}"                                                          \
                     : OPERANDS_##count("+f", d, 0)                                                                           \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));                                         \
    }
#define WGMMA_F32_TYPES(n, ...)                     \
    WGMMA_F32(n, __half, "f16", __VA_ARGS__)        \
    WGMMA_F32(n, __nv_bfloat16, "bf16", __VA_ARGS__)
WGMMA_F32_TYPES(16, 8, "8", "9", "10", "11", "12", "13")
WGMMA_F32_TYPES(32, 16, "16", "17", "18", "19", "20", "21")
WGMMA_F32_TYPES(64, 32, "32", "33", "34", "35", "36", "37")
WGMMA_F32_TYPES(128, 64, "64", "65", "66", "67", "68", "69")
WGMMA_F32_TYPES(256, 128, "128", "129", "130", "131", "132", "133")

// m64nNk32 of 8-bit factors, A and B int8_t or uint8_t, both in shared memory.
template <typename A, typename B, int kN>
__device__ __forceinline__ void wgmma_shared(int32_t (&d)[kN / 2], uint64_t a, uint64_t b, uint32_t add);

#define WGMMA_S32(n, A, a_type, B, b_type, count, a0, b0, add0)                                                             \
    template <>                                                                                                             \
    __device__ __forceinline__ void wgmma_shared<A, B, n>(int32_t(&d)[count], uint64_t a, uint64_t b, uint32_t add) {        \
        asm volatile("{\n.reg .pred add;\nsetp.ne.u32 add, %" add0 ", 0;\n"                                                  \
                     "wgmma.mma_async.sync.aligned.m64n" #n "k32.s32." a_type "." b_type " {" REGISTERS_##count "}, %" a0     \
                     ", %" b0 ", add;\n}"                                                                                   \
                     : OPERANDS_##count("+r", d, 0)                                                                         \
                     : "l"(a), "l"(b), "r"(add));                                                                           \
    }
#define WGMMA_S32_TYPES(n, ...)                                   \
    WGMMA_S32(n, int8_t, "s8", int8_t, "s8", __VA_ARGS__)         \
    WGMMA_S32(n, int8_t, "s8", uint8_t, "u8", __VA_ARGS__)        \
    WGMMA_S32(n, uint8_t, "u8", int8_t, "s8", __VA_ARGS__)
WGMMA_S32_TYPES(16, 8, "8", "9", "10")
WGMMA_S32_TYPES(32, 16, "16", "17", "18")
WGMMA_S32_TYPES(64, 32, "32", "33", "34")
WGMMA_S32_TYPES(128, 64, "64", "65", "66")
WGMMA_S32_TYPES(192, 96, "96", "97", "98")
WGMMA_S32_TYPES(256, 128, "128", "129", "130")

// m64nNk32 of unsigned a and signed b, a in registers: of a warp, its 16 rows as mma.m16n8k32 has them.
template <int kN>
__device__ __forceinline__ void wgmma_registers_u8_s8(int32_t (&d)[kN / 2], const uint32_t (&a)[4], uint64_t b, uint32_t add);

#define WGMMA_S32_REGISTERS(n, count, a0, a1, a2, a3, b0, add0)                                                               \
    template <>                                                                                                               \
    __device__ __forceinline__ void wgmma_registers_u8_s8<n>(int32_t(&d)[count], const uint32_t(&a)[4], uint64_t b, uint32_t add) { \
        asm volatile("{\n.reg .pred add;\nsetp.ne.u32 add, %" add0 ", 0;\n"                                                    \
                     "wgmma.mma_async.sync.aligned.m64n" #n "k32.s32.u8.s8 {" REGISTERS_##count "}, {%" a0 ", %" a1 ", %" a2  \
                     ", %" a3 "}, %" b0 ", add;\n}"                                                                           \
                     : OPERANDS_##count("+r", d, 0)                                                                           \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));                                         \
    }
WGMMA_S32_REGISTERS(16, 8, "8", "9", "10", "11", "12", "13")
WGMMA_S32_REGISTERS(32, 16, "16", "17", "18", "19", "20", "21")
WGMMA_S32_REGISTERS(64, 32, "32", "33", "34", "35", "36", "37")
WGMMA_S32_REGISTERS(128, 64, "64", "65", "66", "67", "68", "69")
WGMMA_S32_REGISTERS(256, 128, "128", "129", "130", "131", "132", "133")
