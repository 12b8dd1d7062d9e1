//! The dense f32 product of the crate `gemm`: what [`bench`](crate::bench) compares with on the CPU.
#![allow(unsafe_code)]

use gemm_common::Parallelism;

/// `y[m, n] = sum_k x[m, k] * w[n, k]`, row-major, on the threads of the current rayon pool.
///
/// # Panics
/// When `x`, `w` and `y` are not `[M, K]`, `[N, K]` and `[M, N]` for K = `k`.
pub fn dense_f32(x: &[f32], w: &[f32], k: usize, y: &mut [f32]) {
    let (m, n) = (x.len() / k, w.len() / k);
    assert_eq!((x.len(), w.len(), y.len()), (m * k, n * k, m * n));
    let (k_stride, n_stride) = (k as isize, n as isize);
    let (read_y, alpha, beta, conjugate) = (false, 0.0, 1.0, false);
    // As rows, not as yᵀ = w · xᵀ, for which all of w would be packed anew: 8 times slower at M = 4, N = K = 2048.
    // SAFETY: the strides address exactly the elements of slices whose lengths were checked; y is not read and aliases none.
    unsafe {
        gemm_f32::gemm::f32::get_gemm_fn()(
            m,
            n,
            k,
            y.as_mut_ptr(),
            1,
            n_stride,
            read_y,
            x.as_ptr(),
            1,
            k_stride,
            w.as_ptr(),
            k_stride,
            1,
            alpha,
            beta,
            conjugate,
            conjugate,
            conjugate,
            Parallelism::Rayon(rayon::current_num_threads()),
        );
    }
}
