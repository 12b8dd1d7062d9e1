//! [`Task`]: the part of a matrix that one thread quantizes at a time, and how a matrix is cut into them.

/// Values to quantize and where the results go.
pub struct Task<'a, E> {
    pub values: &'a [E],
    /// The scales of these values; none when they are known beforehand.
    pub scales: &'a mut [f32],
    /// As many as scales; unused by formats without.
    pub zero_points: &'a mut [u8],
    /// The bytes of these values' codes; a task begins at a whole byte.
    pub codes: &'a mut [u8],
}

/// Values per task, at least: large beside the cost of handing one out, small beside a matrix worth the threads.
pub const TASK: usize = 1 << 16;

/// How much of each array a task takes; the last takes what is left.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    pub values: usize,
    pub scales: usize,
    pub code_bytes: usize,
}

/// Cuts a matrix into tasks.
pub fn split<'a, E>(whole: Task<'a, E>, cut: Cut) -> Vec<Task<'a, E>> {
    let Task { values, mut scales, mut zero_points, mut codes } = whole;
    values
        .chunks(cut.values)
        .map(|values| Task {
            values,
            scales: take(&mut scales, cut.scales),
            zero_points: take(&mut zero_points, cut.scales),
            codes: take(&mut codes, cut.code_bytes),
        })
        .collect()
}

/// Takes the first `len` elements, or what there is.
fn take<'a, T>(rest: &mut &'a mut [T], len: usize) -> &'a mut [T] {
    let len = len.min(rest.len());
    let (taken, after) = std::mem::take(rest).split_at_mut(len);
    *rest = after;
    taken
}
