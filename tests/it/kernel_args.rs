//! The committed argument structs are those of `cuda/include/args.h`.

include!(concat!(env!("OUT_DIR"), "/args_check.rs"));

const COMMITTED: &str = include_str!("../../src/cuda/args.rs");

/// The first line that differs, with both versions.
fn difference(committed: &str, made: &str) -> Option<String> {
    let (mut old, mut new) = (committed.lines(), made.lines());
    for number in 1.. {
        match (old.next(), new.next()) {
            (None, None) => return None,
            (a, b) if a == b => {}
            (a, b) => return Some(format!("line {number}: {:?} is committed, {:?} was made", a, b)),
        }
    }
    None
}

#[test]
fn args_are_made_from_the_header() {
    match REGENERATED {
        Ok(made) => {
            let found = difference(COMMITTED, made);
            assert_eq!(found, None, "src/cuda/args.rs is not what cuda/include/args.h says: run `make args`");
        }
        // LOWBIT_ARGS=require makes this an error of the build.
        Err(reason) => println!("skipped: src/cuda/args.rs was not made anew: {reason}"),
    }
}

#[test]
fn a_difference_is_found() {
    assert_eq!(difference("a\nb\n", "a\nb\n"), None);
    assert!(difference("a\nb\n", "a\nc\n").unwrap().starts_with("line 2:"));
    assert!(difference("a\n", "a\nc\n").is_some());
    assert!(difference("a\nb\n", "a\n").is_some());
}
