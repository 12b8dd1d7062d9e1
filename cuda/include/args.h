// The arguments of every kernel: one struct a kernel family, passed by value.
//
// src/cuda/args.rs is made from this file by bindgen; the layout is asserted on both sides. No field may leave padding:
// fields go by falling size, and the size is a multiple of 8. Addresses are device memory.
#pragma once

#include <stdint.h>

#ifdef __CUDACC__
#define DEVICE_PTR(type) type *
#else
#define DEVICE_PTR(type) uint64_t
#endif
