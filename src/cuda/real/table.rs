//! Tables of a library's functions, found by name when it is loaded.
//!
//! cudarc's own bindings panic where a function is missing, and return status codes as a Rust enum, for which a code newer
//! than the enum is undefined behaviour. Here a missing function is an error and a status is a number.
#![allow(unsafe_code)]

/// A struct of function pointers with `load`.
macro_rules! function_table {
    ($(#[$meta:meta])* pub struct $table:ident { $($name:ident: fn($($arg:ty),* $(,)?) -> $ret:ty,)* }) => {
        $(#[$meta])*
        #[allow(non_snake_case, reason = "the names of the C functions")]
        pub struct $table {
            $(pub $name: unsafe extern "C" fn($($arg),*) -> $ret,)*
        }

        impl $table {
            /// Finds every function.
            ///
            /// # Errors
            /// The name of the first that the library lacks.
            pub fn load(library: &'static ::libloading::Library) -> Result<Self, &'static str> {
                Ok(Self {
                    $(
                        // SAFETY: the type is that of NVIDIA's header, and the library is never unloaded.
                        $name: *unsafe {
                            library.get::<unsafe extern "C" fn($($arg),*) -> $ret>(concat!(stringify!($name), "\0"))
                        }
                        .map_err(|_| stringify!($name))?,
                    )*
                })
            }
        }
    };
}
pub(super) use function_table;

/// Calls a function of a table and makes its status a `Result`; `unsafe` as the function is.
macro_rules! call {
    ($table:expr, $name:ident($($arg:expr),* $(,)?)) => {
        $crate::cuda::real::codes::check(stringify!($name), ($table.$name)($($arg),*))
    };
}
pub(super) use call;

/// The first file that loads, kept for the life of the process, and its name.
pub fn load_first<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<(&'static libloading::Library, &'a str)> {
    names.into_iter().find_map(|name| Some((keep(name).ok()?, name)))
}

/// Loads one library for the life of the process.
pub fn keep(name: &str) -> Result<&'static libloading::Library, libloading::Error> {
    // SAFETY: libcuda and libcublasLt do nothing at loading that needs care of ours.
    let library = unsafe { libloading::Library::new(name) }?;
    Ok(Box::leak(Box::new(library)))
}
