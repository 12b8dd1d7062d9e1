#include <cuda_fp16.h>
#include <cuda_bf16.h>
#include <stdint.h>
struct Args { const __half* a; const __half* b; float* c; int m, n, k; uint32_t pad[5]; };
__device__ __forceinline__ uint32_t smem_u32(const void* p) { return (uint32_t)__cvta_generic_to_shared(p); }
__device__ __forceinline__ void cp16(uint32_t dst, const void* src, int n) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" :: "r"(dst), "l"(src), "r"(n)); }
// C[m,n] = A[m,k] * B[n,k]^T ; tile 64x64x32, 4 warps, 2 stages
extern "C" __global__ void __launch_bounds__(128) gemm_f16(const __grid_constant__ Args args) {
  __shared__ __align__(128) __half sa[2][64*32];
  __shared__ __align__(128) __half sb[2][64*32];
  int tid = threadIdx.x, warp = tid/32, lane = tid%32;
  int bm = blockIdx.y*64, bn = blockIdx.x*64;
  float acc[2][4][4] = {};
  auto load = [&](int s, int k0) {
    for (int i = tid; i < 64*4; i += 128) {
      int r = i/4, c = (i%4)*8; int sw = ((i%4) ^ ((r>>1)&3))*8;
      int ok = (bm+r < args.m && k0+c < args.k) ? 16 : 0;
      cp16(smem_u32(&sa[s][r*32+sw]), args.a + (ok? (size_t)(bm+r)*args.k + k0 + c : 0), ok);
      int ok2 = (bn+r < args.n && k0+c < args.k) ? 16 : 0;
      cp16(smem_u32(&sb[s][r*32+sw]), args.b + (ok2? (size_t)(bn+r)*args.k + k0 + c : 0), ok2);
    }
    asm volatile("cp.async.commit_group;\n"::);
  };
  int nk = (args.k+31)/32;
  load(0, 0);
  for (int kt = 0; kt < nk; kt++) {
    if (kt+1 < nk) { load((kt+1)&1, (kt+1)*32); asm volatile("cp.async.wait_group 1;\n"::: "memory"); }
    else asm volatile("cp.async.wait_group 0;\n"::: "memory");
    __syncthreads();
    int s = kt&1;
    #pragma unroll
    for (int kk = 0; kk < 2; kk++) {
      uint32_t a[2][4], b[4][2];
      for (int i = 0; i < 2; i++) {
        int r = (warp/2)*32 + i*16 + lane%16; int ch = kk*2 + lane/16;
        uint32_t ad = smem_u32(&sa[s][r*32 + (ch ^ ((r>>1)&3))*8]);
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n" : "=r"(a[i][0]),"=r"(a[i][1]),"=r"(a[i][2]),"=r"(a[i][3]) : "r"(ad));
      }
      for (int j = 0; j < 4; j++) {
        int r = (warp%2)*32 + j*8 + lane%8; int ch = kk*2 + (lane/8)%2;
        uint32_t ad = smem_u32(&sb[s][r*32 + (ch ^ ((r>>1)&3))*8]);
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];\n" : "=r"(b[j][0]),"=r"(b[j][1]) : "r"(ad));
      }
      for (int i = 0; i < 2; i++) for (int j = 0; j < 4; j++)
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
          : "+f"(acc[i][j][0]),"+f"(acc[i][j][1]),"+f"(acc[i][j][2]),"+f"(acc[i][j][3])
          : "r"(a[i][0]),"r"(a[i][1]),"r"(a[i][2]),"r"(a[i][3]),"r"(b[j][0]),"r"(b[j][1]));
    }
    __syncthreads();
  }
  for (int i = 0; i < 2; i++) for (int j = 0; j < 4; j++) for (int h = 0; h < 2; h++) {
    int r = bm + (warp/2)*32 + i*16 + lane/4 + h*8, c = bn + (warp%2)*32 + j*8 + (lane%4)*2;
    if (r < args.m) { if (c < args.n) args.c[(size_t)r*args.n+c] = acc[i][j][h*2]; if (c+1 < args.n) args.c[(size_t)r*args.n+c+1] = acc[i][j][h*2+1]; }
  }
}
