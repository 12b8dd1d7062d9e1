#include <cuda_fp16.h>
#include <cuda_bf16.h>
#include <stdint.h>
__constant__ float table[16] = {1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16};
__device__ int counter;
extern __shared__ __align__(16) unsigned char dyn[];
extern "C" __global__ void row_softmax(const __half* x, __half* y, int n) {
  float* buf = (float*)dyn; __shared__ float red[32];
  const __half* row = x + (size_t)blockIdx.x*n;
  float mx = -INFINITY;
  for (int i = threadIdx.x; i < n; i += blockDim.x) { float v = __half2float(row[i]); buf[i] = v; mx = fmaxf(mx, v); }
  for (int o = 16; o; o >>= 1) mx = fmaxf(mx, __shfl_xor_sync(~0u, mx, o));
  if (threadIdx.x%32 == 0) red[threadIdx.x/32] = mx;
  __syncthreads();
  mx = -INFINITY; for (int i = 0; i < blockDim.x/32; i++) mx = fmaxf(mx, red[i]);
  float s = 0; for (int i = threadIdx.x; i < n; i += blockDim.x) { float e = expf(buf[i]-mx); buf[i] = e; s += e; }
  for (int o = 16; o; o >>= 1) s += __shfl_xor_sync(~0u, s, o);
  __syncthreads();
  if (threadIdx.x%32 == 0) red[threadIdx.x/32] = s;
  __syncthreads();
  s = 0; for (int i = 0; i < blockDim.x/32; i++) s += red[i];
  for (int i = threadIdx.x; i < n; i += blockDim.x) y[(size_t)blockIdx.x*n+i] = __float2half_rn(buf[i]/s);
}
extern "C" __global__ void misc(const int8_t* a, const uint64_t* b, __nv_bfloat162* o, unsigned* u, int n, double dd) {
  int i = blockIdx.x*blockDim.x+threadIdx.x; if (i >= n) return;
  int v = a[i]; unsigned long long w = b[i];
  int loc[8]; for (int k=0;k<8;k++) loc[k] = v*k; 
  int idx = (w>>3)&7;
  switch (v & 7) { case 0: v += 3; break; case 1: v*= 5; break; case 2: v ^= 0x55; break; case 3: v -= idx; break; case 4: v/=3; break; case 5: v %= 7; break; default: v = __clz(v); }
  v += loc[idx];
  o[i] = __floats2bfloat162_rn(table[idx]*v, (float)__popcll(w));
  atomicAdd(&u[v&3], 1u); atomicAdd(&counter, 1); atomicMax((int*)&u[4], v);
  u[8+i] = __brev(v) + __ballot_sync(__activemask(), v>0) + (unsigned)(w/(v|1)) + (unsigned)(dd*v) + __umulhi(v,idx) + __dp4a(v,idx,3) + __vadd2(v, idx);
  asm volatile("{.reg .pred p; setp.ne.b32 p, %0, 0; @p st.global.u32 [%1], %0;}\n"::"r"(v),"l"(u+8+i));
}
