// C[M, N] = A[M, K] * B[N, K]^T of f16 with tensor maps: boxes of 64 x 64, those of A and B swizzled by 128 bytes.
#include <cuda_fp16.h>
#include <stdint.h>
struct __align__(64) Map { char opaque[128]; };
__device__ __forceinline__ uint32_t smem_u32(const void* p) { return (uint32_t)__cvta_generic_to_shared(p); }
__device__ __forceinline__ void mbar_init(uint32_t bar, uint32_t count) { asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" :: "r"(bar), "r"(count)); }
__device__ __forceinline__ void mbar_arrive(uint32_t bar) { asm volatile("mbarrier.arrive.release.cta.shared::cta.b64 _, [%0];" :: "r"(bar) : "memory"); }
__device__ __forceinline__ void mbar_expect(uint32_t bar, uint32_t bytes) { asm volatile("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" :: "r"(bar), "r"(bytes) : "memory"); }
__device__ __forceinline__ void mbar_wait(uint32_t bar, uint32_t parity) {
  asm volatile("{\n.reg .pred P1;\nWAIT:\nmbarrier.try_wait.parity.acquire.cta.shared::cta.b64 P1, [%0], %1;\n@P1 bra DONE;\nbra WAIT;\nDONE:\n}" :: "r"(bar), "r"(parity) : "memory"); }
__device__ __forceinline__ void tensor_load(uint32_t dst, const Map* map, int x, int y, uint32_t bar) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" :: "r"(dst), "l"(map), "r"(x), "r"(y), "r"(bar) : "memory"); }
__device__ __forceinline__ uint64_t descriptor(uint32_t address) {
  return (uint64_t)(address >> 4) | (uint64_t)1 << 16 | (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62; }
extern "C" __global__ void __launch_bounds__(128) gemm_tma(const __grid_constant__ Map map_a, const __grid_constant__ Map map_b, const __grid_constant__ Map map_c, int tiles_k) {
  __shared__ __align__(1024) __half sa[2][64*64];
  __shared__ __align__(1024) __half sb[2][64*64];
  __shared__ __align__(128) float sc[64*64];
  __shared__ __align__(8) uint64_t full[2], empty[2];
  int tid = threadIdx.x, warp = tid / 32, lane = tid % 32;
  if (tid == 0) {
    asm volatile("prefetch.tensormap [%0];" :: "l"(&map_a) : "memory");
    asm volatile("cp.async.bulk.prefetch.tensor.2d.L2.global.tile [%0, {%1, %2}];" :: "l"(&map_b), "r"(0), "r"((int)blockIdx.x * 64) : "memory");
    for (int i = 0; i < 2; i++) { mbar_init(smem_u32(&full[i]), 1); mbar_init(smem_u32(&empty[i]), 4); }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  auto load = [&](int kt) {
    int s = kt & 1;
    if (kt >= 2) mbar_wait(smem_u32(&empty[s]), ((kt >> 1) - 1) & 1);
    mbar_expect(smem_u32(&full[s]), 16384);
    tensor_load(smem_u32(sa[s]), &map_a, kt * 64, blockIdx.y * 64, smem_u32(&full[s]));
    tensor_load(smem_u32(sb[s]), &map_b, kt * 64, blockIdx.x * 64, smem_u32(&full[s]));
  };
  float d[32];
  #pragma unroll
  for (int i = 0; i < 32; i++) d[i] = 0;
  if (tid == 0) load(0);
  #pragma unroll 1
  for (int kt = 0; kt < tiles_k; kt++) {
    if (tid == 0 && kt + 1 < tiles_k) load(kt + 1);
    __syncwarp();
    int s = kt & 1;
    mbar_wait(smem_u32(&full[s]), (kt >> 1) & 1);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
    #pragma unroll
    for (int kk = 0; kk < 4; kk++) {
      uint64_t da = descriptor(smem_u32(sa[s]) + kk * 32), db = descriptor(smem_u32(sb[s]) + kk * 32);
      asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}, %32, %33, p, 1, 1, 0, 0;\n}"
        : "+f"(d[0]),"+f"(d[1]),"+f"(d[2]),"+f"(d[3]),"+f"(d[4]),"+f"(d[5]),"+f"(d[6]),"+f"(d[7]),"+f"(d[8]),"+f"(d[9]),"+f"(d[10]),"+f"(d[11]),"+f"(d[12]),"+f"(d[13]),"+f"(d[14]),"+f"(d[15]),
          "+f"(d[16]),"+f"(d[17]),"+f"(d[18]),"+f"(d[19]),"+f"(d[20]),"+f"(d[21]),"+f"(d[22]),"+f"(d[23]),"+f"(d[24]),"+f"(d[25]),"+f"(d[26]),"+f"(d[27]),"+f"(d[28]),"+f"(d[29]),"+f"(d[30]),"+f"(d[31])
        : "l"(da), "l"(db), "r"(1));
    }
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    __syncwarp();
    if (lane == 0) mbar_arrive(smem_u32(&empty[s]));
  }
  for (int j = 0; j < 8; j++) for (int h = 0; h < 2; h++) {
    int r = warp * 16 + lane / 4 + h * 8, c = j * 8 + (lane % 4) * 2;
    sc[r * 64 + c] = d[j * 4 + h * 2]; sc[r * 64 + c + 1] = d[j * 4 + h * 2 + 1];
  }
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  if (tid == 0) {
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%1, %2}], [%3];" :: "l"(&map_c), "r"((int)blockIdx.x * 64), "r"((int)blockIdx.y * 64), "r"(smem_u32(sc)) : "memory");
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
    asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
  }
}
