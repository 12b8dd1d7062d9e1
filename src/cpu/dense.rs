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
    // It wants the result column-major, so it is asked for yᵀ[N, M] = w[N, K] · xᵀ[K, M].
    // SAFETY: the strides address exactly the elements of slices whose lengths were checked; y is not read and aliases none.
    unsafe {
        gemm_f32::gemm::f32::get_gemm_fn()(
            n,
            m,
            k,
            y.as_mut_ptr(),
            n_stride,
            1,
            read_y,
            w.as_ptr(),
            1,
            k_stride,
            x.as_ptr(),
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
