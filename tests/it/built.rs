//! What the build made of the kernels, for the tests: PTX, cubins, what the compilers said.

include!(concat!(env!("OUT_DIR"), "/ptx.rs"));

/// Whether there are kernels to look at. Says so when there are none; a build that had to have them then fails.
pub fn present() -> bool {
    match NO_PTX {
        None => true,
        Some(reason) if REQUIRED => panic!("LOWBIT_KERNELS=require, but {reason}"),
        Some(reason) => {
            println!("skipped: {reason}");
            false
        }
    }
}
